"""Profiles with a device's own values, over HTTP: filled in when the device asks, again after it is renamed."""

import plistlib

import pytest
from django.utils import timezone

from devices.commands import enqueue_each
from devices.groups import ensure_all_group
from devices.models import Command, Device
from profiles import secrets
from profiles.assignment import assign, plan_all
from profiles.models import Bundle, Installation, Profile, Scope
from profiles.publishing import publish
from profiles.variables import names_in
from protocol import cms
from protocol.plist import loads_dict
from simulator.profiles import read_profile
from tests.endpoint.phone import TOPIC, Phone, command_in
from tests.profiles.fleet import WIFI, bundle_of, payload

pytestmark = pytest.mark.django_db
USER = "11111111-2222-3333-4444-555555555555"


def published(text: str, *, scope: str = Scope.SYSTEM, encrypted: bool = False) -> Bundle:
    now = timezone.now()
    bundle = bundle_of(payload(WIFI, Text=text), now=now)
    Bundle.objects.filter(pk=bundle.pk).update(scope=scope)
    publish(bundle, by=None, now=now)
    for profile in Profile.objects.all():
        profile.variables = sorted(names_in(loads_dict(bytes(profile.content))))
        profile.signed, profile.encrypt_to_device = b"", encrypted
        profile.save()
    assign(bundle, ensure_all_group(now), now=now)
    plan_all(now)
    return bundle


def take(phone: Phone, answer):
    """Answer commands until a profile comes; its bytes and the next answer."""
    for _ in range(10):
        request_type, command_uuid, command = command_in(answer)
        body = {"QueryResponses": {}, "ProfileList": []} if request_type != "InstallProfile" else {}
        answer = phone.report("Acknowledged", command_uuid, body)
        if request_type == "InstallProfile":
            return command["Payload"], answer
    raise AssertionError("no profile came")


def test_a_secret_arrives_encrypted_to_the_device_and_rests_nowhere_else():
    phone = Phone().enroll()
    secrets.store("wifi", b"correct horse", actor=None, now=timezone.now())
    published("{{ secret.wifi }} {{ device.udid }}", encrypted=True)
    data, _ = take(phone, phone.idle())
    assert b"correct horse" not in data
    installed = read_profile(data, identity=(phone.certificate, phone.key))
    assert installed.payloads[0]["Text"] == f"correct horse {phone.udid}"
    assert installed.uuid == Installation.objects.get().payload_uuid
    for command in Command.objects.all():
        assert b"correct horse" not in bytes(command.params) + bytes(command.result or b"")


@pytest.mark.parametrize("name", ["A </string> phone", "{{ device.udid }}", "{{ secret.wifi }}"])
def test_a_device_that_tells_its_name_gets_what_names_it_in_the_same_session(name):
    phone = Phone().enroll()
    published("{{ device.name }}")
    assert command_in(phone.idle()) is None
    assert "device.name" in Installation.objects.get().reason
    enqueue_each([phone.enrollment.pk], "DeviceInformation", origin="a test", now=timezone.now())
    _, command_uuid, _ = command_in(phone.idle())
    data, _ = take(phone, phone.report("Acknowledged", command_uuid, {"QueryResponses": {"DeviceName": name}}))
    content, _signer = cms.verify_attached(data)
    assert plistlib.loads(content)["PayloadContent"][0]["Text"] == name


def test_a_bundle_of_scope_user_comes_on_the_users_channel_only():
    phone = Phone().enroll()
    published("{{ user.name }}", scope=Scope.USER)
    assert command_in(phone.idle()) is None
    phone.user_id = USER
    phone.put("/mdm/checkin", {
        "MessageType": "TokenUpdate", "UDID": phone.udid, "UserID": USER, "UserShortName": "ada", "Topic": TOPIC,
        "PushMagic": "other", "Token": b"\x02" * 32,
    })  # fmt: skip
    data, _ = take(phone, phone.idle())
    content, _signer = cms.verify_attached(data)
    assert plistlib.loads(content)["PayloadContent"][0]["Text"] == "ada"
    assert Device.objects.count() == 1
