"""The pages in Debian's Chromium: nothing blocked, nothing foreign, readable on a phone, usable without JavaScript."""

import plistlib

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from devices.groups import ensure_all_group
from devices.models import Command
from operations.models import AuditEvent
from profiles.models import Assignment, Bundle, Revision
from tests.mdmportal import browser as chromium
from tests.mdmportal.admin_rows import administrator, furnish
from tests.mdmportal.browser import DESKTOP, PHONE, text_of, window
from tests.mdmportal.test_admin_pages import every_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.real_clock,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.MISSING),
]
SIZES = {"desktop": DESKTOP, "phone": PHONE}
VPN = {
    "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "com.example.vpn", "PayloadUUID": "U-0",
    "PayloadDisplayName": "VPN",
    "PayloadContent": [
        {"PayloadType": "com.apple.mobiledevice.passwordpolicy", "PayloadVersion": 1, "PayloadIdentifier": "com.example.p",
         "PayloadUUID": "U-1", "forcePIN": True},
        {"PayloadType": "com.apple.vpn.managed", "PayloadVersion": 1, "PayloadIdentifier": "com.example.v",
         "PayloadUUID": "U-2", "UserDefinedName": "Example", "VPNType": "IKEv2",
         "IKEv2": {"RemoteAddress": "vpn.example.com", "LocalIdentifier": "x", "RemoteIdentifier": "y",
                   "AuthenticationMethod": "None", "ExtendedAuthEnabled": 1}},
    ],
}  # fmt: skip


@pytest.fixture
def home(browser, live_server, settings):
    settings.PORTAL_URL = live_server.url
    return live_server.url


@pytest.fixture
def rows(home):
    now = timezone.now()
    # the migration made it, and the test before this one emptied the tables
    ensure_all_group(now)
    return furnish(now)


@pytest.fixture
def session(rows):
    client = Client()
    client.force_login(administrator())
    return client.cookies["sessionid"].value


def test_signing_in_leads_to_the_start_page(browser, home):
    get_user_model().objects.create_superuser("ada", password="correct horse battery")
    with window(browser, home) as one:
        page = one.open("/admin/")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        assert "correct username" in text_of(page, ".errornote")
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Log in").click()
        assert text_of(page, "h1") == "Dashboard"


def one_of_each(rows):
    """Every page; of the histories, which are one template of Django's, the device's alone."""
    return [path for path in every_page(rows) if "/history/" not in path or "/device/" in path]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_every_page_keeps_to_itself_and_to_a_phone(browser, home, rows, session, scripts):
    with window(browser, home, session=session, java_script_enabled=scripts, **PHONE) as one:
        for path in one_of_each(rows):
            page = one.open(path)
            assert page.locator("h1").first.is_visible(), path
            assert one.sticks_out <= 0, path
            assert page.locator("#content").bounding_box()["width"] > 340, path
            assert one.complaints == [], path


def test_no_page_has_a_barrier_in_light_or_dark(browser, home, rows, session):
    with window(browser, home, session=session) as one:
        found = {}
        for path in one_of_each(rows):
            page = one.open(path)
            assert one.sticks_out <= 0, path
            assert page.locator("#content").bounding_box()["width"] > 800, path
            assert one.complaints == [], path
            if barriers := one.barriers:
                found[path] = barriers
        assert found == {}


def test_a_barrier_would_be_noticed(browser, home, session):
    with window(browser, home, session=session) as one:
        page = one.open("/admin/")
        page.evaluate("document.querySelector('h1').after(document.createElement('input'))")
        page.evaluate("document.querySelector('h1').after(document.createElement('button'))")
        assert any("button-name" in text for text in one.barriers)
        assert any("label" in text for text in one.barriers)


def test_a_page_that_breaks_the_policy_would_be_noticed(browser, home, session):
    with window(browser, home, session=session) as one:
        page = one.open("/admin/")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
        page.evaluate("fetch('http://127.0.0.1:1/').catch(() => 0)")
        page.wait_for_timeout(200)
        said = " ".join(one.complaints)
        assert "Content Security Policy" in said
        assert "style-src" in said
        assert "connect-src" in said or "another host" in said
        one.complaints.clear()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize("size", SIZES)
def test_erasing_needs_the_right_number(browser, home, rows, session, size, scripts):
    with window(browser, home, session=session, java_script_enabled=scripts, **SIZES[size]) as one:
        page = one.open(f"/admin/device/{rows.device.pk}/")
        page.get_by_role("button", name="Erase…").click()
        assert "cannot be brought back" in text_of(page, "#content")
        assert "C02HOSTILE" in text_of(page, "#content")
        page.get_by_label("Reason").fill("Lost in a train")
        page.get_by_label("How many").fill("2")
        page.get_by_role("button", name="Erase devices").click()
        assert "This would hit 1, not 2. Nothing was done." in text_of(page, ".errorlist")
        assert page.get_by_label("Reason").input_value() == "Lost in a train"
        one.expect_refusal()
        assert not Command.objects.filter(request_type="EraseDevice").exists()
        page.get_by_label("How many").fill("1")
        page.get_by_role("button", name="Erase devices").click()
        assert "1 done, 0 failed, 0 waiting, of 1" in text_of(page, "#content")
    command = Command.objects.get(request_type="EraseDevice")
    assert command.enrollment == rows.enrollment
    event = AuditEvent.objects.filter(object_id=str(rows.device.pk)).order_by("-pk").first()
    assert (event.actor_name, event.reason) == ("root", "Lost in a train")
    assert "erase" in event.action.lower()


def test_the_palette_leads_to_a_device_by_keyboard_alone(browser, home, rows, session):
    with window(browser, home, session=session) as one:
        page = one.open("/admin/records/")
        page.keyboard.press("Control+k")
        page.keyboard.type("c02host")
        page.get_by_role("option").filter(has_text="C02HOSTILE").wait_for()
        assert one.barriers == []
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/admin/device/{rows.device.pk}/")
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").wait_for()
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0


def test_the_search_works_without_scripts(browser, home, rows, session):
    with window(browser, home, session=session, java_script_enabled=False) as one:
        page = one.open("/admin/")
        page.locator(".portal-search").click()
        page.locator("#portal-words").fill("c02host")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="C02HOSTILE").click()
        assert page.url.endswith(f"/admin/device/{rows.device.pk}/")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_menus_work_on_a_phone(browser, home, rows, session, scripts):
    with window(browser, home, session=session, java_script_enabled=scripts, **PHONE) as one:
        page = one.open("/admin/devices/device/")
        assert not page.get_by_role("link", name="Audit log").is_visible()
        page.get_by_role("button", name="Menu").click()
        assert page.get_by_role("link", name="Audit log").is_visible()
        page.keyboard.press("Escape")
        page.get_by_text("Platform", exact=True).first.click()
        page.get_by_role("link", name="IPadOS").click()
        assert "Nothing matches." in text_of(page, "#content")
        page.get_by_role("link", name="Clear filters").click()
        page.get_by_role("button", name="Acts on").click()
        page.get_by_role("button", name="Restart…").click()
        assert "Type 1 to confirm." in text_of(page, "#content")


def test_cancelling_erases_nothing(browser, home, rows, session):
    with window(browser, home, session=session) as one:
        page = one.open(f"/admin/device/{rows.device.pk}/")
        page.get_by_role("button", name="Erase…").click()
        page.get_by_role("link", name="Cancel, do nothing").click()
        assert text_of(page, "h1") == "Devices"
    assert not Command.objects.filter(request_type="EraseDevice").exists()


def test_an_invitation_is_made_here_and_read_on_a_phone(browser, home, rows, session):
    with window(browser, home, session=session) as one:
        page = one.open("/admin/devices/invitation/")
        page.get_by_role("link", name="Invite devices", exact=True).first.click()
        page.get_by_label("Note").fill("Sales")
        page.get_by_role("button", name="Make the link").click()
        link = text_of(page, ".portal-link")
        assert link.startswith(f"{home}/enroll/")
        square = page.locator(".portal-qr svg").bounding_box()
        assert square["width"] == square["height"] > 150
    for scheme in ("light", "dark"):
        with window(browser, home, color_scheme=scheme, **PHONE) as one:
            page = one.open(link)
            assert one.sticks_out <= 0
            assert page.locator("h1").is_visible()
            assert page.get_by_role("link", name="Download the profile").bounding_box()["height"] >= 40
            assert float(page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")) >= 16
            # a picture that the policy blocked would have no size of its own
            assert page.evaluate("document.querySelector('img.qr').naturalWidth") > 100
            assert (brightness(page) < 0.3) == (scheme == "dark")


def brightness(page) -> float:
    """0 is black, 1 is white: what is behind the text."""
    colours = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)")
    return sum(colours) / 3 / 255


def test_dark_pages_are_dark(browser, home, rows, session):
    with window(browser, home, session=session, color_scheme="dark") as one:
        assert brightness(one.open(f"/admin/device/{rows.device.pk}/")) < 0.3
    with window(browser, home, session=session, color_scheme="light") as one:
        assert brightness(one.open(f"/admin/device/{rows.device.pk}/")) > 0.9


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_bundle_is_composed_published_and_assigned_by_clicks(browser, home, session, rows, tmp_path, scripts):
    right, wrong = tmp_path / "vpn.mobileconfig", tmp_path / "holiday.mobileconfig"
    right.write_bytes(plistlib.dumps(VPN))
    wrong.write_bytes(b"a picture of a beach")
    with window(browser, home, session=session, java_script_enabled=scripts) as one:
        page = one.open("/admin/profiles/bundle/")
        page.get_by_role("link", name="Add bundle").click()
        page.locator("#id_name").fill("Corporate VPN")
        page.get_by_role("button", name="Make the draft").click()
        page.get_by_role("link", name="Import .mobileconfig…").click()
        _upload(page, right)
        page.get_by_role("button", name="Import into draft").click()
        assert "2 payloads" in text_of(page, ".messagelist")

        page.get_by_role("link", name="Import .mobileconfig…").click()
        _upload(page, wrong)
        assert "Not imported" in text_of(page, "#content")
        one.expect_refusal()
        bundle = Bundle.objects.get(name="Corporate VPN")
        assert [payload.role for payload in bundle.payloads.all()] == ["requirement", "capability"]

        page.get_by_role("link", name="Cancel").click()
        page.get_by_role("button", name="Assign…").click()
        page.get_by_label("Group").select_option(label="all")
        page.get_by_role("button", name="Next").click()
        _confirm(page, "1")
        assert "is now wanted on the devices of all" in text_of(page, ".messagelist")
        page.get_by_role("button", name="Publish…").click()
        page.get_by_label("Reason").fill("New office")
        page.get_by_label("How many").fill("1")
        page.get_by_role("button", name="Publish v1 to 1 device").click()
        assert "Corporate VPN v1 is published" in text_of(page, ".messagelist")
    assert Revision.objects.get(bundle=bundle).profiles.count() == 2
    assert Assignment.objects.get(bundle=bundle).group.name == "all"
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"bundle.publish", "bundle.assign"} <= actions


def _upload(page, path):
    page.get_by_label("Configuration profile").set_input_files(path)
    page.get_by_role("button", name="Look inside").click()


def _confirm(page, count):
    page.get_by_label("Reason").fill("New office")
    page.get_by_label("How many").fill(count)
    page.locator("input.portal-dangerous").click()
