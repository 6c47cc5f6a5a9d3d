"""What a device answers to each RequestType."""

import plistlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import cms, plist, scep
from protocol.commands import DEVICE_INFORMATION_QUERIES, GenericCommand
from protocol.reports import Status
from simulator import commands
from simulator.commands import Answer
from simulator.device import AfterDelivery, Device
from simulator.hardware import Family, hardware
from simulator.transport import generate_key
from tests.simulator.portal import IDENTIFIER, PASSCODE, VPN, Keys, profile_with

FLAGS = ("PasscodePresent", "PasscodeCompliant", "PasscodeCompliantWithProfiles")


@pytest.fixture
def device() -> Device:
    return Device(hardware(1))


def ask(device: Device, request_type: str, **params: object) -> Answer:
    answer = commands.answer(device, GenericCommand(request_type, params))
    assert isinstance(answer, Answer)
    return answer


def error(answer: Answer) -> tuple[int, str]:
    assert answer.status is Status.ERROR
    (item,) = answer.keys["ErrorChain"]
    return item["ErrorCode"], item["ErrorDomain"]


def install(device: Device, *payloads: dict[str, object], identifier: str = "com.example.profile") -> None:
    answer = ask(device, "InstallProfile", Payload=profile_with(*payloads, identifier=identifier))
    assert answer.status is Status.ACKNOWLEDGED


def flags(device: Device) -> tuple[bool, bool, bool]:
    info = ask(device, "SecurityInfo").keys["SecurityInfo"]
    return tuple(info[flag] for flag in FLAGS)


def test_without_a_policy_the_flags_are_true_though_there_is_no_passcode(device: Device) -> None:
    assert flags(device) == (False, True, True)


def test_the_flags_follow_the_policy_and_the_user(device: Device) -> None:
    install(device, PASSCODE)
    assert flags(device) == (False, False, False)
    device.set_passcode("1234")
    assert flags(device) == (True, False, False)
    device.set_passcode()
    assert flags(device) == (True, True, True)
    device.remove_passcode()
    assert flags(device) == (False, False, False)


def test_the_flags_can_be_made_to_lie(device: Device) -> None:
    install(device, PASSCODE)
    device.script.compliance_flags = True
    assert flags(device) == (False, True, True)


def test_a_mac_has_no_passcode_keys() -> None:
    info = ask(Device(hardware(1, Family.MAC)), "SecurityInfo").keys["SecurityInfo"]
    assert not [key for key in info if key.startswith("Passcode")]
    assert "FDE_Enabled" in info


def test_a_user_enrollment_tells_compliance_only() -> None:
    device = Device(hardware(1), user_enrollment=True)
    install(device, {"PayloadType": PASSCODE["PayloadType"]})
    info = ask(device, "SecurityInfo").keys["SecurityInfo"]
    assert [flag for flag in FLAGS if flag in info] == ["PasscodeCompliant"]
    assert info["PasscodeCompliant"] is False  # every key is ignored, six characters are demanded


def test_the_same_identifier_replaces_a_profile(device: Device) -> None:
    for profile_uuid in ("ONE", "TWO"):
        ask(device, "InstallProfile", Payload=profile_with(PASSCODE, profile_uuid=profile_uuid))
    install(device, VPN, identifier="com.example.vpn")
    listed = ask(device, "ProfileList").keys["ProfileList"]
    assert [(p["PayloadIdentifier"], p["IsManaged"]) for p in listed] == [
        ("com.example.profile", True),
        ("com.example.vpn", True),
    ]
    assert listed[0]["PayloadUUID"] == "TWO"
    assert listed[0]["PayloadContent"][0]["PayloadType"] == PASSCODE["PayloadType"]
    assert "forcePIN" not in listed[0]["PayloadContent"][0]


def test_a_signed_profile_shows_its_signer(device: Device, keys: Keys) -> None:
    key = keys(2048)
    certificate = scep.self_signed(key, common_name="Example", now=datetime.now(UTC))
    signed = cms.sign_attached(profile_with(PASSCODE), certificate, private_key=key)
    ask(device, "InstallProfile", Payload=signed)
    (listed,) = ask(device, "ProfileList").keys["ProfileList"]
    assert len(listed["SignerCertificates"]) == 1


def test_removing_a_profile_that_is_not_there_is_12075(device: Device) -> None:
    install(device, VPN)
    assert ask(device, "RemoveProfile", Identifier="com.example.profile").status is Status.ACKNOWLEDGED
    assert error(ask(device, "RemoveProfile", Identifier="com.example.profile")) == (12075, "MCMDMErrorDomain")


def with_a_control_character() -> bytes:
    content = plist.loads_dict(profile_with(VPN)) | {"PayloadDisplayName": "\x01"}
    return plistlib.dumps(content, fmt=plistlib.FMT_BINARY)


@pytest.mark.parametrize("payload", [b"", b"nothing", b"<plist/>", with_a_control_character()])
def test_a_malformed_profile_is_an_error(device: Device, payload: bytes) -> None:
    assert error(ask(device, "InstallProfile", Payload=payload)) == (1000, "MCProfileErrorDomain")


def test_a_user_enrollment_refuses_a_vpn() -> None:
    device = Device(hardware(1), user_enrollment=True)
    answer = ask(device, "InstallProfile", Payload=profile_with(VPN))
    assert error(answer) == (4023, "MCInstallationErrorDomain")


def test_an_ordinary_profile_cannot_replace_the_enrollment(phone: Device) -> None:
    answer = ask(phone, "InstallProfile", Payload=profile_with(VPN, identifier=IDENTIFIER))
    assert error(answer) == (4015, "MCInstallationErrorDomain")


def provisioning_profile(keys: Keys, profile_uuid: str) -> bytes:
    key = keys(2048)
    certificate = scep.self_signed(key, common_name="Example", now=datetime.now(UTC))
    values = {"UUID": profile_uuid, "Name": "Example", "ExpirationDate": datetime(2031, 1, 1)}  # noqa: DTZ001
    return cms.sign_attached(plist.dumps(values), certificate, private_key=key)


def test_provisioning_profiles_are_kept_by_uuid(device: Device, keys: Keys) -> None:
    for profile_uuid in ("A", "B", "A"):
        data = provisioning_profile(keys, profile_uuid)
        assert ask(device, "InstallProvisioningProfile", ProvisioningProfile=data).status is Status.ACKNOWLEDGED
    listed = ask(device, "ProvisioningProfileList").keys["ProvisioningProfileList"]
    assert [(p["UUID"], p["ExpiryDate"].year) for p in listed] == [("A", 2031), ("B", 2031)]
    assert ask(device, "RemoveProvisioningProfile", UUID="A").status is Status.ACKNOWLEDGED
    domain = "MCProvisioningProfileErrorDomain"
    assert error(ask(device, "RemoveProvisioningProfile", UUID="A")) == (25002, domain)
    assert error(ask(device, "InstallProvisioningProfile", ProvisioningProfile=b"x")) == (25000, domain)


def test_device_information_answers_what_it_knows_and_leaves_out_the_rest(device: Device) -> None:
    answer = ask(device, "DeviceInformation", Queries=[*DEVICE_INFORMATION_QUERIES, "NoSuchQuery"])
    responses = answer.keys["QueryResponses"]
    assert (responses["UDID"], responses["SerialNumber"]) == (device.hardware.udid, "SIM0000001")
    assert "NoSuchQuery" not in responses
    assert "HostName" not in responses


def test_a_user_enrollment_hides_the_person() -> None:
    device = Device(hardware(1), user_enrollment=True)
    responses = ask(device, "DeviceInformation", Queries=["UDID", "SerialNumber", "OSVersion"]).keys["QueryResponses"]
    assert list(responses) == ["OSVersion"]


@pytest.mark.parametrize("request_type", ["EraseDevice", "ClearPasscode", "RestartDevice"])
def test_a_user_enrollment_obeys_no_device_wide_command(request_type: str) -> None:
    assert error(ask(Device(hardware(1), user_enrollment=True), request_type)) == (12007, "MCMDMErrorDomain")


def test_the_certificate_list_has_the_identity_and_the_roots(phone: Device) -> None:
    entries = ask(phone, "CertificateList").keys["CertificateList"]
    assert [(entry["CommonName"], entry["IsIdentity"]) for entry in entries] == [
        ("device identity", True),
        ("Example Device CA", False),
    ]


def test_installed_applications_can_be_asked_for_by_identifier(device: Device) -> None:
    assert len(ask(device, "InstalledApplicationList").keys["InstalledApplicationList"]) == 3
    answer = ask(device, "InstalledApplicationList", Identifiers=["com.example.map"])
    assert [app["Name"] for app in answer.keys["InstalledApplicationList"]] == ["Site Map"]
    assert ask(device, "InstalledApplicationList", ManagedAppsOnly=True).keys["InstalledApplicationList"] == []


def test_a_passcode_is_cleared_only_with_the_right_unlock_token(phone: Device) -> None:
    phone.set_passcode()
    assert ask(phone, "ClearPasscode", UnlockToken=b"wrong").status is Status.ERROR
    assert phone.passcode is not None
    assert phone.enrollment is not None
    assert ask(phone, "ClearPasscode", UnlockToken=phone.enrollment.unlock_token).status is Status.ACKNOWLEDGED
    assert phone.passcode is None


def test_a_locked_device_keeps_apples_promises_about_not_now(device: Device) -> None:
    assert ask(device, "DeviceLock", Message="Bring me back").keys == {"MessageResult": "NoPasscodeSet"}
    assert device.locked
    for request_type in ("SecurityInfo", "InstallProfile", "CertificateList", "RemoveProfile"):
        assert ask(device, request_type).status is Status.NOT_NOW
    for request_type in commands.IOS_NEVER_NOT_NOW:
        assert ask(device, request_type).status is not Status.NOT_NOW


def test_a_restart_locks_a_device_that_has_a_passcode(device: Device) -> None:
    ask(device, "RestartDevice")
    assert not device.locked
    device.set_passcode()
    ask(device, "RestartDevice")
    assert device.locked


def test_an_unsupervised_phone_does_not_restart() -> None:
    device = Device(hardware(1, supervised=False))
    assert error(ask(device, "RestartDevice")) == (29000, "MCChaperoneErrorDomain")


def test_erasing_happens_after_the_report(device: Device) -> None:
    assert ask(device, "EraseDevice").after is AfterDelivery.ERASE
    assert not device.erased


def test_device_configured_ends_the_waiting(device: Device) -> None:
    device.awaiting_configuration = True
    assert ask(device, "DeviceConfigured").status is Status.ACKNOWLEDGED
    assert not device.awaiting_configuration


def test_an_unknown_request_type_is_12021(device: Device) -> None:
    assert error(ask(device, "MakeCoffee")) == (12021, "MCMDMErrorDomain")


def test_a_missing_key_is_a_format_error(device: Device) -> None:
    for request_type in ("InstallProfile", "RemoveProfile", "DeviceInformation", "RemoveProvisioningProfile"):
        assert ask(device, request_type).status is Status.COMMAND_FORMAT_ERROR


def test_a_scripted_failure_comes_as_often_as_it_was_asked_for(device: Device) -> None:
    device.fail_next("ProfileList", 4001, "MCInstallationErrorDomain", times=2)
    outcomes = [ask(device, "ProfileList").status for _ in range(3)]
    assert outcomes == [Status.ERROR, Status.ERROR, Status.ACKNOWLEDGED]


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(commands._HANDLERS)),
    st.dictionaries(st.sampled_from(["Payload", "Identifier", "UUID", "Queries", "Identifiers", "Pin"]), _values),
)
def test_any_parameters_get_an_answer(request_type: str, params: dict[str, object]) -> None:
    for box in (hardware(1), hardware(2, Family.MAC)):
        assert isinstance(commands.answer(Device(box), GenericCommand(request_type, params)), Answer)


def test_serials_and_udids_are_the_same_in_every_run() -> None:
    assert hardware(1) == hardware(1)
    assert hardware(1).udid.startswith("00008020-")
    assert len({hardware(number).udid for number in range(1, 500)}) == 499


def test_keys_are_made_in_the_size_asked_for() -> None:
    assert generate_key(2048).key_size == 2048
