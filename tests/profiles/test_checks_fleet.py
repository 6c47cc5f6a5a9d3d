"""Checks against the devices in scope and the other bundles there, and how many statements they take."""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.groups import add_devices
from devices.models import Device, DeviceGroup, Enrollment, EnrollmentState, Platform, PushState
from profiles.checks import Severity, check_bundle
from profiles.models import Bundle, DeliveryRule, Part, Profile, Revision, Role, Scope
from protocol.identity import EnrollmentKind
from protocol.mobileconfig import build_mobileconfig
from protocol.plist import dumps, loads_dict
from tests.profiles.checking import errors, found, passcode, says, vpn
from tests.profiles.fleet import NUMBERS, WIFI, bundle_of, payload

pytestmark = pytest.mark.django_db

RESTRICTIONS = "com.apple.applicationaccess"
FILEVAULT = "com.apple.MCX.FileVault2"
MakeDevices = Callable[..., DeviceGroup]


@pytest.fixture
def devices(now: datetime) -> MakeDevices:
    """Make devices, in a group of their own unless one is given."""

    def make(
        number: int = 1, *, group: DeviceGroup | None = None, kind: str = EnrollmentKind.DEVICE, **facts: object
    ) -> DeviceGroup:
        said = {"platform": Platform.IOS, "os_version": "18.1", "is_supervised": True, **facts}
        made = [
            Device.objects.create(udid=f"U-{next(NUMBERS)}", state=Device.State.ENROLLED, created_at=now, **said)
            for _ in range(number)
        ]
        for device in made:
            Enrollment.objects.create(
                device=device, kind=kind, enrollment_id=str(device.udid), state=EnrollmentState.ENROLLED,
                push_state=PushState.OK, authenticated_at=now, enrolled_at=now,
            )  # fmt: skip
        group = group or DeviceGroup.objects.create(name=f"Group {next(NUMBERS)}", created_at=now)
        add_devices(group, made, now=now)
        return group

    return make


def assigned(bundle: Bundle, group: DeviceGroup) -> Bundle:
    bundle.assignments.create(group=group, created_at=bundle.created_at)
    return bundle


def published(bundle: Bundle, group: DeviceGroup | None = None) -> Bundle:
    """As publishing leaves it, without signatures."""
    revision = Revision.objects.create(
        bundle=bundle, number=1, delivery_rule=bundle.delivery_rule, published_at=bundle.created_at
    )
    payloads = [loads_dict(bytes(row.content)) for row in bundle.payloads.all()]
    content = build_mobileconfig(payloads, identifier=bundle.identifier, uuid=f"T-{bundle.pk}", display_name="x")
    Profile.objects.create(
        revision=revision, part=Part.WHOLE, identifier=bundle.identifier, uuid=f"T-{bundle.pk}", display_name="x",
        payload_types=[row.payload_type for row in bundle.payloads.all()], content=dumps(content), signed=b"",
    )  # fmt: skip
    bundle.current_revision = revision
    bundle.save()
    return assigned(bundle, group) if group else bundle


# --- platform, version, supervision --------------------------------------------------------------------------------


def test_keys_newer_than_devices_are_counted(now: datetime, devices: MakeDevices) -> None:
    group = devices(2, platform=Platform.MACOS, os_version="13.6")
    devices(3, group=group, platform=Platform.MACOS, os_version="14.1")
    regex = {"passwordContentRegex": ".*", "passwordContentDescription": {}}
    bundle = assigned(bundle_of(passcode(customRegex=regex), now=now), group)
    finding = found(bundle, "needs macOS 14.0", now=now)
    assert (finding.severity, finding.devices, finding.path) == (Severity.WARNING, 2, "customRegex")
    assert "2 devices in scope are older and will ignore it" in finding.sentence


def test_a_version_that_nobody_knows_is_no_reason_to_warn(now: datetime, devices: MakeDevices) -> None:
    bundle = assigned(bundle_of(passcode(), now=now), devices(2, platform=Platform.WATCHOS, os_version=""))
    assert not says(bundle, "older", now=now)


def test_ipads_are_judged_as_ios(now: datetime, devices: MakeDevices) -> None:
    bundle = assigned(bundle_of(passcode(), now=now), devices(platform=Platform.IPADOS))
    assert not says(bundle, "run something else", now=now)
    assert not says(bundle, "runs something else", now=now)
    old = assigned(bundle_of(passcode(), now=now), devices(platform=Platform.IPADOS, os_version="3.2"))
    assert found(old, "needs iOS 4.0", now=now).devices == 1


def test_a_payload_that_no_device_in_scope_takes_is_a_warning(now: datetime, devices: MakeDevices) -> None:
    bundle = assigned(bundle_of(payload(FILEVAULT, Enable="On", Defer=True), now=now), devices(3))
    finding = found(bundle, "is for macOS only; 3 devices", now=now)
    assert (finding.severity, finding.devices) == (Severity.WARNING, 3)


def test_supervised_keys_of_one_kind_are_one_finding(now: datetime, devices: MakeDevices) -> None:
    group = devices(2, is_supervised=False)
    devices(4, group=group)
    devices(1, group=group, is_supervised=None)
    keys = {"allowAirDrop": False, "allowAppRemoval": False, "allowChat": False}
    finding = found(assigned(bundle_of(payload(RESTRICTIONS, **keys), now=now), group), "supervised", now=now)
    assert finding.devices == 2
    assert finding.severity is Severity.WARNING
    assert "AirDrop" in finding.sentence
    assert "work on supervised devices only" in finding.sentence


def test_what_user_enrollment_forbids_is_a_warning(now: datetime, devices: MakeDevices) -> None:
    bundle = assigned(bundle_of(vpn(), now=now), devices(2, kind=EnrollmentKind.USER_ENROLLMENT))
    finding = found(bundle, "not allowed in User Enrollment", now=now)
    assert (finding.severity, finding.devices) == (Severity.WARNING, 2)


def test_keys_that_user_enrollment_ignores_are_told(now: datetime, devices: MakeDevices) -> None:
    bundle = assigned(bundle_of(passcode(), now=now), devices(kind=EnrollmentKind.USER_ENROLLMENT))
    assert found(bundle, "ignored in User Enrollment", now=now).devices == 1


def test_what_a_shared_ipad_cannot_take_is_a_warning(now: datetime, devices: MakeDevices) -> None:
    group = devices(2, platform=Platform.IPADOS)
    bundle = assigned(bundle_of(passcode(), now=now), group)
    assert not says(bundle, "Shared iPad", now=now)
    channel = Enrollment.objects.filter(device__groups=group).first()
    assert channel is not None
    Enrollment.objects.create(
        device=channel.device, parent=channel, kind=EnrollmentKind.SHARED_IPAD_USER, enrollment_id="shared:ada",
        state=EnrollmentState.ENROLLED, authenticated_at=now,
    )  # fmt: skip
    assert found(bundle, "not allowed on Shared iPad", now=now).devices == 1


def test_payloads_that_need_the_users_approval_are_told(now: datetime, devices: MakeDevices) -> None:
    bundle = bundle_of(payload(FILEVAULT, Enable="On", Defer=True), now=now)
    assert not says(bundle, "approved the enrollment", now=now)
    assigned(bundle, devices(platform=Platform.MACOS, os_version="14.0"))
    assert found(bundle, "approved the enrollment", now=now).severity is Severity.NOTE


def test_deprecated_keys_are_warnings_where_a_device_runs_that_version(now: datetime, devices: MakeDevices) -> None:
    old = payload("com.apple.ironwood.support", **{"Ironwood Allowed": False})
    new_macs = assigned(bundle_of(old, now=now), devices(2, platform=Platform.MACOS, os_version="14.0"))
    assert found(new_macs, "deprecated since macOS 10.13", now=now).devices == 2
    old_macs = assigned(bundle_of(old, now=now), devices(platform=Platform.MACOS, os_version="10.12"))
    assert not says(old_macs, "deprecated", now=now)
    assert found(bundle_of(old, now=now), "no longer wanted", now=now).severity is Severity.NOTE


def test_removed_payloads_are_warnings(now: datetime, devices: MakeDevices) -> None:
    gone = payload("com.apple.dashboard", whiteList=[])
    bundle = assigned(bundle_of(gone, now=now), devices(platform=Platform.MACOS, os_version="14.0"))
    assert found(bundle, "gone since macOS 10.15", now=now).severity is Severity.WARNING


# --- channel, parts, proof -----------------------------------------------------------------------------------------


def test_a_payload_for_users_needs_the_scope_of_users(now: datetime) -> None:
    saver = payload("com.apple.screensaver.user", idleTime=300, moduleName="Flurry")
    bundle = bundle_of(saver, now=now)
    assert found(bundle, "works only for a user of a Mac", now=now).severity is Severity.ERROR
    bundle.scope = Scope.USER
    assert errors(bundle, now) == []


def test_a_payload_for_devices_is_an_error_in_a_bundle_for_users(now: datetime, devices: MakeDevices) -> None:
    bundle = assigned(bundle_of(payload(FILEVAULT, Enable="On", Defer=True), now=now), devices(2))
    bundle.scope = Scope.USER
    assert found(bundle, "works for the whole Mac only", now=now).severity is Severity.ERROR
    assert found(bundle, "2 devices in scope will not get it", now=now).severity is Severity.WARNING
    # Said once: that the payload is for another platform adds nothing.
    assert not says(bundle, "2 devices in scope run something else", now=now)


def test_devices_that_cannot_prove_the_requirement_are_counted(now: datetime, devices: MakeDevices) -> None:
    group = devices(2, platform=Platform.MACOS, os_version="14.0")
    devices(3, group=group)
    bundle = assigned(bundle_of(passcode(), vpn(), now=now), group)
    finding = found(bundle, "never prove the requirement", now=now)
    assert (finding.severity, finding.devices) == (Severity.WARNING, 2)
    bundle.delivery_rule = DeliveryRule.TOGETHER
    assert not says(bundle, "never prove", now=now)


def test_a_bundle_that_waits_for_nothing_says_so(now: datetime) -> None:
    assert found(bundle_of(vpn(), now=now), "has no requirement", now=now).severity is Severity.NOTE
    assert not says(bundle_of(passcode(), vpn(), now=now), "has no", now=now)


# --- references ----------------------------------------------------------------------------------------------------


def wifi(certificate: str) -> dict[str, object]:
    eap = {"AcceptEAPTypes": [13]}
    return payload(
        WIFI, SSID_STR="Office", EncryptionType="WPA2", EAPClientConfiguration=eap, PayloadCertificateUUID=certificate
    )


def identity(uuid: str = "CERT-1") -> dict[str, object]:
    content = {"PayloadContent": b"p12", "Password": "{{ secret.p12 }}"}
    return {**payload("com.apple.security.pkcs12", "identity", **content), "PayloadUUID": uuid}


def test_a_certificate_that_is_not_there_is_an_error(now: datetime) -> None:
    finding = found(bundle_of(wifi("CERT-2"), identity(), now=now), "names no payload of this bundle", now=now)
    assert (finding.severity, finding.path) == (Severity.ERROR, "PayloadCertificateUUID")
    assert not says(bundle_of(wifi("cert-1"), identity(), now=now), "names no payload", now=now)


def test_a_certificate_in_the_other_profile_is_an_error(now: datetime) -> None:
    bundle = bundle_of(passcode(), wifi("CERT-1"), identity(), now=now)
    assert not says(bundle, "devices look only within one profile", now=now)
    bundle.payloads.filter(payload_type="com.apple.security.pkcs12").update(role=Role.NEUTRAL)
    finding = found(bundle, "devices look only within one profile", now=now)
    assert finding.severity is Severity.ERROR
    assert "the requirement's profile" in finding.sentence


def test_a_reference_to_the_wrong_kind_of_payload_is_a_warning(now: datetime) -> None:
    bundle = bundle_of(wifi("VPN-1"), {**vpn(), "PayloadUUID": "VPN-1"}, now=now)
    assert found(bundle, "not of a kind that can be used here", now=now).severity is Severity.WARNING


# --- other bundles -------------------------------------------------------------------------------------------------


def test_two_payloads_of_a_kind_that_a_device_takes_once_are_an_error(now: datetime) -> None:
    proxy = "com.apple.proxy.http.global"
    two = bundle_of(payload(proxy, "one", ProxyType="Auto"), payload(proxy, "two", ProxyType="Auto"), now=now)
    assert found(two, "one too many", now=now).severity is Severity.ERROR
    assert not says(bundle_of(payload(proxy, ProxyType="Auto"), now=now), "one too many", now=now)


def test_the_same_in_another_bundle_is_a_warning_with_the_devices_that_get_both(
    now: datetime, devices: MakeDevices
) -> None:
    proxy = "com.apple.proxy.http.global"
    here, there = devices(2), devices(3)
    other = published(bundle_of(payload(proxy, "other", ProxyType="Auto"), now=now), here)
    bundle = assigned(assigned(bundle_of(payload(proxy, ProxyType="Auto"), now=now), here), there)
    finding = found(bundle, f'the bundle "{other}" brings another', now=now)
    assert (finding.severity, finding.devices) == (Severity.WARNING, 2)


def test_a_key_that_another_bundle_sets_otherwise_names_that_bundle(now: datetime, devices: MakeDevices) -> None:
    here, there = devices(2), devices(3)
    other = published(bundle_of(passcode(minLength=8), now=now), here)
    bundle = assigned(assigned(bundle_of(passcode(minLength=6), now=now), here), there)
    finding = found(bundle, "to another value", now=now)
    assert f'"{other}"' in finding.sentence
    assert (finding.severity, finding.devices, finding.path) == (Severity.WARNING, 2, "minLength")
    assert "strict" not in finding.sentence


def test_bundles_that_share_no_device_or_agree_are_no_clash(now: datetime, devices: MakeDevices) -> None:
    here, there = devices(1), devices(1)
    published(bundle_of(passcode(minLength=8), now=now), there)
    published(bundle_of(passcode(minLength=6, pinHistory=3), now=now), here)
    assert not says(
        assigned(bundle_of(passcode(minLength=6, maxInactivity=5), now=now), here), "another value", now=now
    )


def test_two_vpns_are_two_things(now: datetime, devices: MakeDevices) -> None:
    group = devices()
    published(bundle_of(vpn(UserDefinedName="Other"), now=now), group)
    assert not says(assigned(bundle_of(vpn(), now=now), group), "another value", now=now)


def test_a_profile_of_another_bundle_with_the_same_identifier_is_an_error(now: datetime) -> None:
    bundle = bundle_of(passcode(), now=now)
    other = published(bundle_of(vpn(), now=now))
    Profile.objects.filter(revision__bundle=other).update(identifier=bundle.identifier)
    assert found(bundle, "replace the one by the other", now=now).severity is Severity.ERROR


# --- the connection ------------------------------------------------------------------------------------------------


def test_changing_or_removing_a_network_payload_is_a_warning(now: datetime, devices: MakeDevices) -> None:
    bundle = published(bundle_of(passcode(), vpn(), now=now), devices(4))
    assert not says(bundle, "cut", now=now)
    row = bundle.payloads.get(payload_type__contains="vpn")
    row.content = dumps({**loads_dict(bytes(row.content)), "UserDefinedName": "Other"})
    row.save()
    changed = found(bundle, "can cut devices off", now=now)
    assert (changed.severity, changed.devices, changed.payload_id) == (Severity.WARNING, 4, row.pk)
    row.delete()
    removed = found(bundle, "is removed from 4 devices", now=now)
    assert (removed.severity, removed.payload_id) == (Severity.WARNING, None)


def test_a_new_network_payload_is_a_note(now: datetime) -> None:
    assert found(bundle_of(vpn(), now=now), "cut devices off", now=now).severity is Severity.NOTE


# --- cost ----------------------------------------------------------------------------------------------------------


def test_the_number_of_statements_does_not_depend_on_the_fleet(now: datetime, devices: MakeDevices) -> None:
    group = devices(2)
    published(bundle_of(passcode(minLength=8), now=now), group)
    bundle = published(bundle_of(passcode(), vpn(), now=now), group)
    numbers = []
    for _ in range(2):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            check_bundle(bundle, now=now)
        numbers.append(len(queries))
        devices(30, group=group, is_supervised=False)
        devices(30, group=group, platform=Platform.MACOS, os_version="13.1")
        published(bundle_of(passcode(minLength=9), now=now), group)
    assert numbers[0] == numbers[1] <= 12
