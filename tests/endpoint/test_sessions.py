"""Whole sessions over HTTP: a device by hand goes from its link to a VPN that only a proved passcode brings."""

import hashlib
import plistlib
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from certificates.challenges import mint
from devices.groups import ensure_all_group
from devices.models import Command, LadderState, Verdict
from endpoint import reports
from profiles import gate
from profiles.assignment import assign
from profiles.importing import import_payloads, new_bundle
from profiles.models import Installation
from profiles.publishing import publish
from protocol.mobileconfig import build_mobileconfig, parse_mobileconfig, read_enrollment, unwrap_mobileconfig
from protocol.plist import dumps
from protocol.reports import parse_report
from tests.certificates.requests import pkcs_request
from tests.endpoint.phone import Phone, command_in, invite, push_certificate

pytestmark = pytest.mark.django_db


def mobileconfig(payload_type, **keys):
    payload = {
        "PayloadType": payload_type, "PayloadVersion": 1, "PayloadIdentifier": f"com.example.{payload_type}",
        "PayloadUUID": str(uuid.uuid5(uuid.NAMESPACE_DNS, payload_type)).upper(), **keys,
    }  # fmt: skip
    content = build_mobileconfig(
        [payload], identifier="com.example.p", uuid="7F9619FF-8B86-4D01-B42D-00CF4FC964FF", display_name="p"
    )
    return parse_mobileconfig(dumps(content))


VPN = {
    "UserDefinedName": "VPN", "VPNType": "IKEv2",
    "IKEv2": {
        "RemoteAddress": "vpn.example.com", "RemoteIdentifier": "vpn.example.com", "LocalIdentifier": "device",
        "AuthenticationMethod": "SharedSecret", "SharedSecret": "for the test",
    },
}  # fmt: skip


@pytest.fixture
def bundle():
    now = timezone.now()
    made = new_bundle("VPN", now=now)
    import_payloads(made, mobileconfig("com.apple.mobiledevice.passwordpolicy", forcePIN=True, minLength=6))
    import_payloads(made, mobileconfig("com.apple.vpn.managed", **VPN))
    publish(made, by=None, now=now)
    assign(made, ensure_all_group(now), now=now)
    return made


class Handset(Phone):
    """Holds profiles and a passcode, and answers what it is asked."""

    def start(self):
        self.profiles, self.has_passcode, self.flags_lie = {}, False, False
        return self

    def session(self):
        """One session to its end; the request types in the order they came."""
        done, answer = [], self.idle()
        while (command := command_in(answer)) is not None:
            request_type, command_uuid, content = command
            done.append(request_type)
            assert len(done) < 30
            answer = self.report("Acknowledged", command_uuid, self.carry_out(request_type, content))
        return done

    def carry_out(self, request_type, command):
        if request_type == "InstallProfile":
            profile = unwrap_mobileconfig(command["Payload"])[0]
            self.profiles[profile.identifier] = profile.uuid
        if request_type == "RemoveProfile":
            del self.profiles[command["Identifier"]]
        if request_type == "ProfileList":
            listed = [{"PayloadIdentifier": key, "PayloadUUID": uuid} for key, uuid in self.profiles.items()]
            return {"ProfileList": listed}
        if request_type == "SecurityInfo":
            fine = self.has_passcode or self.flags_lie
            return {"SecurityInfo": {
                "PasscodePresent": self.has_passcode, "PasscodeCompliant": fine, "PasscodeCompliantWithProfiles": fine,
            }}  # fmt: skip
        if request_type == "DeviceInformation":
            return {"QueryResponses": {"ProductName": "iPhone15,2", "OSVersion": "18.1", "DeviceName": "A phone"}}
        return {}

    def poll(self):
        Verdict.objects.exclude(next_poll_at=None).update(next_poll_at=timezone.now())
        gate.poll_due(timezone.now())
        return self.session()

    @property
    def has_vpn(self):
        return any("capability" in identifier for identifier in self.profiles)


def handset(kind=Handset):
    push_certificate()
    phone = kind().get_identity().start()
    phone.authenticate(ProductName="iPhone15,2", OSVersion="18.1")
    phone.token_update()
    return phone


def states():
    return dict(Installation.objects.values_list("part", "state"))


def test_what_an_answer_leads_to_is_offered_in_the_same_session(bundle):
    phone = handset()
    done = phone.session()
    # Asked for by the handler of the InstallProfile, when nothing else was open.
    assert done[done.index("InstallProfile") + 1] == "ProfileList"
    assert states()["requirement"] == LadderState.INSTALLED


def test_the_vpn_comes_with_the_passcode_and_goes_with_it(bundle):
    phone = handset()
    phone.session()
    phone.poll()
    assert not phone.has_vpn
    assert states()["capability"] == LadderState.WAITING
    phone.has_passcode = True
    phone.poll()
    assert phone.has_vpn
    assert states() == {"requirement": LadderState.INSTALLED, "capability": LadderState.INSTALLED}
    phone.has_passcode = False
    phone.poll()
    assert not phone.has_vpn
    phone.has_passcode = True
    phone.poll()
    assert phone.has_vpn


def test_flags_that_say_compliant_without_a_passcode_bring_no_vpn(bundle):
    phone = handset()
    phone.flags_lie = True
    phone.session()
    phone.poll()
    phone.poll()
    assert not phone.has_vpn
    assert Installation.objects.get(part="capability").reason


class Unlucky(Handset):
    """The web server dies between its next report on `dies_at` and the handler; the device says it again later."""

    dies_at, deaths = "", 0

    def report(self, status, command_uuid=None, message=None, **headers):
        dies = command_uuid and Command.objects.get(uuid=command_uuid).request_type == self.dies_at
        if not dies:
            return super().report(status, command_uuid, message, **headers)
        self.dies_at, self.deaths = "", self.deaths + 1
        body = plistlib.dumps({**self.identity_keys(), "Status": status, "CommandUUID": command_uuid, **message})
        outcome = reports.take(parse_report(body), hashlib.sha256(self.der).digest(), timezone.now())
        assert outcome.closed_command_id is not None
        return super().report(status, command_uuid, message, **headers)


@pytest.mark.parametrize("dies_at", ["InstallProfile", "ProfileList", "SecurityInfo", "RemoveProfile"])
def test_what_a_crash_leaves_between_a_report_and_its_handler_is_healed_by_the_sweep(bundle, dies_at):
    phone = handset(Unlucky)
    for has_passcode in (True, False, True):
        phone.has_passcode, phone.dies_at = has_passcode, dies_at
        phone.poll()
        later = timezone.now() + timedelta(minutes=1)
        for command_pk in reports.unhandled(later, limit=10):
            assert reports.handle_report(command_pk, timezone.now())
        phone.session()
        phone.poll()
        phone.poll()
        assert phone.has_vpn == has_passcode
        assert states()["capability"] == (LadderState.INSTALLED if has_passcode else LadderState.WAITING)
    assert phone.deaths >= 1
    assert not reports.unhandled(timezone.now() + timedelta(minutes=1), limit=10)


def test_a_device_made_by_hand_goes_from_the_link_to_its_first_commands(client, bundle):
    push_certificate()
    _, token = invite()
    facts = read_enrollment(unwrap_mobileconfig(client.get(f"/enroll/{token}/profile").content)[0].content)
    phone = Handset().start()
    exchange = pkcs_request(facts.challenge, now=timezone.now(), key=phone.key)
    answer = client.generic("POST", "/scep?operation=PKIOperation", exchange.message)
    phone.certificate = exchange.read(answer.content)
    assert phone.authenticate(ProductName="iPhone15,2", OSVersion="18.1").status_code == 200
    assert phone.token_update().status_code == 200
    done = phone.session()
    assert {"DeviceInformation", "SecurityInfo", "ProfileList", "InstallProfile"} <= set(done)
    assert states()["requirement"] == LadderState.INSTALLED


def test_an_identity_by_a_bare_challenge_enrolls_nobody(client):
    """A challenge of ours that no download led to proves nothing."""
    push_certificate()
    phone = Phone()
    now = timezone.now()
    exchange = pkcs_request(mint(now)[1], now=now, key=phone.key)
    phone.certificate = exchange.read(client.generic("POST", "/scep?operation=PKIOperation", exchange.message).content)
    assert phone.authenticate().status_code == 400
