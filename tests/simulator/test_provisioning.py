"""What a device answers about provisioning profiles: what it takes, what it lists, what it cannot remove."""

from datetime import UTC, datetime, timedelta

import pytest

from protocol.commands import GenericCommand
from protocol.plist import dumps
from protocol.reports import Status
from simulator import commands, profiles, state
from simulator.commands import Answer
from simulator.device import Device
from simulator.hardware import hardware
from tests.protocol.provisioning_files import NOW, apple, in_house, values

DOMAIN = "MCProvisioningProfileErrorDomain"


@pytest.fixture
def device() -> Device:
    return Device(hardware(1), clock=lambda: NOW)


def ask(device: Device, request_type: str, **params: object) -> Answer:
    answer = commands.answer(device, GenericCommand(request_type, params))
    assert isinstance(answer, Answer)
    return answer


def install(device: Device, data: bytes) -> int:
    """0 when it was acknowledged, else the error's code."""
    return code(ask(device, "InstallProvisioningProfile", ProvisioningProfile=data))


def code(answer: Answer) -> int:
    if answer.status is Status.ACKNOWLEDGED:
        return 0
    (item,) = answer.keys["ErrorChain"]
    assert item["ErrorDomain"] == DOMAIN
    return int(item["ErrorCode"])


def listed(device: Device, **params: object) -> list[str]:
    entries = ask(device, "ProvisioningProfileList", **params).keys["ProvisioningProfileList"]
    return [entry["UUID"] for entry in entries]


def test_a_profile_as_apple_signs_it_is_installed_listed_and_removed(device: Device) -> None:
    assert install(device, in_house(uuid="Mixed-Case")) == 0
    (entry,) = ask(device, "ProvisioningProfileList").keys["ProvisioningProfileList"]
    assert entry == {"Name": "POS In-House", "UUID": "Mixed-Case", "ExpiryDate": datetime(2027, 3, 1, 12)}  # noqa: DTZ001
    assert code(ask(device, "RemoveProvisioningProfile", UUID="MIXED-CASE")) == 25002
    assert code(ask(device, "RemoveProvisioningProfile", UUID="Mixed-Case")) == 0
    assert listed(device) == []


def test_the_property_list_without_its_signature_is_no_profile(device: Device) -> None:
    assert install(device, dumps(values())) == 25000


def test_an_expired_profile_cannot_be_installed(device: Device) -> None:
    data = in_house(days=30)
    device.clock = lambda: NOW + timedelta(days=30)
    assert install(device, data) == 25001
    assert listed(device) == []


def test_a_profile_stays_listed_after_its_end(device: Device) -> None:
    install(device, in_house(uuid="A", days=30))
    device.clock = lambda: NOW + timedelta(days=300)
    assert listed(device) == ["A"]


def test_only_devices_in_the_profile_take_it(device: Device) -> None:
    mine = device.hardware.udid.replace("-", "").lower()
    assert install(device, in_house(kind="ad_hoc", devices=["00008030-001A2B3C4D5E6F70"])) == 25001
    assert install(device, in_house(kind="ad_hoc", devices=["00008030-001A2B3C4D5E6F70", mine])) == 0


def test_a_free_teams_profile_is_25004(device: Device) -> None:
    assert install(device, apple().sign({**values(), "LocalProvision": True}, at=NOW)) == 25004


def test_what_an_app_brought_is_listed_and_cannot_be_removed(device: Device) -> None:
    device.bring_in_app(profiles.read_provisioning_profile(in_house(uuid="EMBEDDED")))
    install(device, in_house(uuid="MANAGED"))
    assert listed(device) == listed(device, ManagedOnly=False) == ["EMBEDDED", "MANAGED"]
    assert listed(device, ManagedOnly=True) == ["MANAGED"]
    assert code(ask(device, "RemoveProvisioningProfile", UUID="EMBEDDED")) == 25002
    device.unenroll()
    assert listed(device) == ["EMBEDDED"]


def test_a_user_enrollment_lists_managed_ones_only() -> None:
    device = Device(hardware(1), user_enrollment=True)
    device.bring_in_app(profiles.read_provisioning_profile(in_house(uuid="EMBEDDED")))
    assert listed(device, ManagedOnly=False) == []


def test_installing_again_is_no_error(device: Device) -> None:
    data = in_house(uuid="A")
    assert (install(device, data), install(device, data), listed(device)) == (0, 0, ["A"])


def test_a_device_may_acknowledge_a_profile_and_lose_it(device: Device) -> None:
    device.script.forget_provisioning = 1
    data = in_house(uuid="A")
    assert (install(device, data), listed(device)) == (0, [])
    assert (install(device, data), listed(device)) == (0, ["A"])


def test_a_device_on_disk_keeps_its_profiles_as_they_are(device: Device) -> None:
    device.bring_in_app(profiles.read_provisioning_profile(in_house(uuid="EMBEDDED")))
    install(device, in_house(uuid="A", kind="ad_hoc", devices=[device.hardware.udid]))
    again = state.load(state.dump(device))
    assert again.provisioning_profiles == device.provisioning_profiles
    assert again.provisioning_profiles["A"].expires_at == datetime(2027, 3, 1, 12, tzinfo=UTC)
