"""Every payload type of the catalogue goes from its empty page to a device: filled in, published, delivered, proved.

Only the public doors are used: the admin's pages as a browser without scripts posts them, and the simulator's
conversations with the device endpoint. What the device then holds is what was typed.
"""

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from certificates.challenges import mint
from devices.groups import ensure_all_group
from devices.models import Command
from profiles import overlay, tasks
from profiles.models import Bundle, Installation, Payload, Scope
from protocol.schema import PayloadFacts, packaged
from simulator.device import Device, LocalUser
from simulator.enrollment import enroll
from simulator.hardware import Family, hardware
from simulator.session import Outcome, connect
from simulator.transport import run
from simulator.user_channel import sign_in
from tests.certificates.requests import device_key
from tests.endpoint.phone import invite, push_certificate
from tests.mdmportal.admin_rows import administrator
from tests.profiles.filling import PayloadPage, least
from tests.profiles.fleet import NEEDED, VPN, WIFI
from tests.profiles.person import Page

CATALOGUE = packaged()
HOME = "http://127.0.0.1"
ENROLLMENT = "com.apple.mdm"
SCEP = "com.apple.security.scep"
# What our rules over several keys ask for beyond what Apple calls required.
ALSO: dict[str, dict[str, Any]] = {
    VPN: NEEDED[VPN],
    WIFI: NEEDED[WIFI],
    "com.apple.MCX.FileVault2": {"Defer": True},
    "com.apple.extensiblesso": {"Hosts": ["www.example.com"]},
    "com.apple.security.acme": {"KeyType": "ECSECPrimeRandom", "KeySize": 256},
    "com.apple.proxy.http.global": {"ProxyServer": "proxy.example.com", "ProxyServerPort": 8080},
}


class Door(httpx.BaseTransport):
    """The portal in this process and this transaction, for an HTTP client."""

    def __init__(self) -> None:
        self.portal = Client()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in request.headers.items()}
        path = request.url.raw_path.decode()
        kind = request.headers.get("content-type", "")
        answer = self.portal.generic(request.method, path, request.read(), content_type=kind, **headers)
        return httpx.Response(answer.status_code, headers=dict(answer.items()), content=answer.content)


class Fleet:
    """An iPhone, an Apple TV, a Mac and its user, enrolled through the portal's own doors."""

    def __init__(self) -> None:
        self.client = httpx.Client(transport=Door())
        push_certificate()
        boxes = [hardware(1), replace(hardware(2), product_name="AppleTV14,1"), hardware(3, Family.MAC)]
        address = f"{HOME}/enroll/{invite(uses=len(boxes))[1]}/profile"
        self.phone, self.television, self.mac = (Device(box) for box in boxes)
        for device in (self.phone, self.television, self.mac):
            self.run(enroll(device, address, now=timezone.now()))
        self.user = self.run(sign_in(self.mac, LocalUser("11111111-2222-3333-4444-555555555555", "ada")))
        # What it is asked first is not the matter here.
        Command.objects.all().delete()

    def run(self, flow: Any) -> Any:
        return run(flow, self.client, make_key=lambda _size: device_key())

    def device_for(self, facts: PayloadFacts, scope: str) -> Device:
        if scope == Scope.USER:
            return self.user
        if "iOS" in facts.platforms or not facts.platforms:
            return self.phone
        return self.mac if "macOS" in facts.platforms else self.television


class Office:
    """Somebody who composes: a bundle for devices and one for users, each assigned to everybody."""

    def __init__(self) -> None:
        self.client = Client()
        self.client.force_login(administrator())
        group = ensure_all_group(timezone.now())
        for scope in Scope.values:
            page = Page(self.client, "/admin/profiles/bundle/add/")
            page.fill("Name", f"For {scope}").choose("How devices get it", "both in one profile").choose(
                "For", Scope(scope).label
            )
            page = page.press("Make the draft")
            bundle = Bundle.objects.get(name=f"For {scope}")
            page = Page(self.client, f"/admin/profiles/bundle/{bundle.pk}/assign/?group={group.pk}")
            confirm(page)
            assert bundle.assignments.exists()

    def add(self, bundle: Bundle, facts: PayloadFacts, content: dict[str, Any]) -> Payload:
        """Fill in the page of a new payload and save it; an AssertionError says what the portal did not like."""
        address = f"/admin/profiles/bundle/{bundle.pk}/payloads/add/{facts.variant}/"
        page = PayloadPage(self.client, address).fill(facts.keys, content).save()
        assert page.status == 200, sentences(page)
        return bundle.payloads.latest("pk")

    def publish(self, bundle: Bundle) -> None:
        page = Page(self.client, f"/admin/profiles/bundle/{bundle.pk}/publish/")
        page = confirm(page)
        assert page.status == 200, sentences(page)
        assert bundle.revisions.exists()


def confirm(page: Page) -> Page:
    """Give a reason, type the number that the page asks for, press the button."""
    form = next((one for one in page.forms if any(field.name == "reason" for field in one.controls)), None)
    assert form is not None, f"nothing to confirm: {sentences(page)}"
    count = re.search(r"Type (\d+) to confirm", page.html)
    for field in form.controls:
        field.value = {"reason": "Test", "count": count[1] if count else ""}.get(field.name, field.value)
    return page._send(form, next(field for field in form.controls if field.is_button))


def sentences(page: Page) -> list[str]:
    """What the checks and the form complain about on a page."""
    complaint = r'class="compose-finding">(.*?)</li>|<p class="f-error"([^<]*)</p>|class="errorlist[^>]*>(.*?)</ul>'
    found = re.findall(complaint, page.html, re.DOTALL)
    return [re.sub(r"<[^>]+>|\s+", " ", " ".join(one)).strip() for one in found]


def scope_of(facts: PayloadFacts) -> str:
    """Devices, but for what works only for the user of a Mac."""
    mac = facts.platforms.get("macOS")
    only_mac = mac is not None and len(facts.platforms) == 1
    return Scope.USER if mac and only_mac and not mac.device_channel else Scope.SYSTEM


def travels(office: Office, fleet: Fleet, facts: PayloadFacts) -> None:
    """One payload, from its page to a device's list."""
    scope = scope_of(facts)
    bundle, device = Bundle.objects.get(name=f"For {scope}"), fleet.device_for(facts, scope)
    content = {**least(facts), **ALSO.get(facts.variant, {})}
    if facts.variant == SCEP:
        content["PayloadContent"] = {"URL": f"{HOME}/scep", "Challenge": mint(timezone.now())[1]}
    for path, types in overlay.references(facts.variant).items():
        if path in content:
            other = CATALOGUE.payloads[types[0]]
            content[path] = office.add(bundle, other, least(other)).payload_uuid
    payload = office.add(bundle, facts, content)
    office.publish(bundle)
    # The message that the commit sends to the worker.
    tasks.plan_all()
    before = dict(device.profiles)
    try:
        assert fleet.run(connect(device, now=timezone.now())) is Outcome.DONE
        installed = {one.identifier: one for one in device.profiles.values()}[bundle.identifier]
    finally:
        device.profiles = before
    held = next(one for one in installed.payloads if one["PayloadUUID"] == payload.payload_uuid)
    assert {name: held[name] for name in content} == content
    assert {name for name in held if not name.startswith("Payload")} <= set(content)
    row = Installation.objects.get(bundle=bundle, enrollment__enrollment_id=device.identity.enrollment_id)
    assert (row.state, row.payload_uuid) == ("installed", installed.uuid), row.reason


@pytest.mark.long
@pytest.mark.django_db
def test_every_payload_of_the_catalogue_reaches_a_device_from_its_empty_page():
    fleet, office, failed = Fleet(), Office(), {}
    for variant, facts in CATALOGUE.payloads.items():
        if facts.payload_type == ENROLLMENT:
            continue
        try:
            with transaction.atomic():
                travels(office, fleet, facts)
                # Each begins with empty bundles and a device that holds nothing.
                transaction.set_rollback(True)
        except Exception as error:  # noqa: BLE001 (every type that fails is named)
            failed[variant] = f"{type(error).__name__}: {error}"
    assert failed == {}, "\n".join(map(str, failed.items()))


@pytest.mark.django_db
def test_an_enrollment_cannot_be_added_to_a_bundle():
    office = Office()
    bundle = Bundle.objects.first()
    address = f"/admin/profiles/bundle/{bundle.pk}/payloads/add"
    assert office.client.get(f"{address}/{ENROLLMENT}/").status_code == 404
    assert office.client.post(f"{address}/{ENROLLMENT}/", {"name": "x", "role": "neutral"}).status_code == 404
    assert f"{address}/{ENROLLMENT}/" not in office.client.get(f"{address}/").content.decode()
    page = Page(office.client, f"{address}/other/").fill("Payload type", ENROLLMENT).fill("Payload name", "x")
    page = page.press("Save draft")
    assert (page.status, bundle.payloads.count()) == (400, 0)
    assert "devices get it by an invitation" in page.html
