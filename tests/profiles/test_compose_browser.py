"""The composer in Debian's Chromium: "VPN after passcode" from nothing, with scripts and without, to a device."""

import pytest
from django.test import Client
from django.utils import timezone

from devices.groups import ensure_all_group
from profiles import assignment
from profiles.editing import content_of
from profiles.models import Assignment, Bundle
from tests.mdmportal import browser as chromium
from tests.mdmportal.admin_rows import administrator
from tests.mdmportal.browser import PHONE, text_of, window
from tests.profiles.fleet import PASSCODE, VPN, Clock, FakeDevice, enrollments

pytestmark = [
    pytest.mark.browser,
    pytest.mark.real_clock,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.MISSING),
]


@pytest.fixture
def home(live_server, settings):
    settings.PORTAL_URL = live_server.url
    ensure_all_group(timezone.now())
    return live_server.url


@pytest.fixture
def session(home):
    client = Client()
    client.force_login(administrator())
    return client.cookies["sessionid"].value


def unfold(page):
    """Open every group of the form, as people do who look for a key."""
    for summary in page.locator("details.f-group:not([open]) > summary").all()[::-1]:
        summary.click()


def configure(page, section):
    """Press the button that appears once another key asks for the section."""
    page.locator(f"button:has-text('Configure'):has-text('{section}')").first.wait_for(state="attached")
    unfold(page)
    page.get_by_role("button", name=f"Configure {section}").click()


def compose(page, *, scripts):
    """Only what a person sees and presses."""
    page.get_by_role("link", name="Add bundle").first.click()
    page.get_by_label("Name").fill("Corporate VPN")
    page.get_by_role("button", name="Make the draft").click()

    page.get_by_role("link", name="Add payload").first.click()
    page.get_by_label("Find a payload").fill("passcode")
    if not scripts:
        page.get_by_role("button", name="Find", exact=True).click()
    page.locator("a:visible", has_text=PASSCODE).first.click()
    unfold(page)
    page.get_by_label("Minimum length").fill("6")
    page.locator("[name='p/forcePIN']").select_option("true")
    page.get_by_role("button", name="Save draft").last.click()
    assert "is in the draft" in text_of(page, ".messagelist")

    page.get_by_role("link", name="Add payload").first.click()
    page.get_by_label("Find a payload").fill("vpn")
    if not scripts:
        page.get_by_role("button", name="Find", exact=True).click()
    page.locator("a:visible", has=page.locator(f"code:text-is('{VPN}')")).first.click()
    page.get_by_label("Payload name").fill("HQ")
    page.locator("[name='p/UserDefinedName']").fill("HQ")
    page.get_by_label("Kind of VPN").select_option("IKEv2")
    if not scripts:
        page.get_by_role("button", name="Show", exact=True).first.click()
    configure(page, "IKEv2")
    page.get_by_label("Server", exact=False).first.fill("vpn.example.com")
    page.get_by_label("Local identifier").fill("device")
    page.get_by_label("Remote identifier").fill("vpn.example.com")
    page.get_by_label("Device proves itself by").select_option("None")
    page.get_by_label("Also sign in with EAP").select_option("1")
    page.get_by_role("button", name="Save draft").last.click()
    assert "is in the draft" in text_of(page, ".messagelist")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_vpn_after_passcode_goes_from_nothing_to_a_device(browser, home, session, scripts):
    now = timezone.now()
    device = FakeDevice(enrollments(1, now)[0], Clock(now), passcode=True)
    with window(browser, home, session=session, java_script_enabled=scripts) as one:
        page = one.open("/admin/profiles/bundle/")
        compose(page, scripts=scripts)
        page.get_by_role("link", name="Corporate VPN").first.click()
        assert one.barriers == [] if scripts else True
        bundle = Bundle.objects.get()
        passcode, vpn = bundle.payloads.all()
        assert content_of(passcode) == {"forcePIN": True, "minLength": 6}
        assert content_of(vpn)["IKEv2"]["RemoteAddress"] == "vpn.example.com"

        page.get_by_role("button", name="Assign…").click()
        page.get_by_label("Group").select_option(label="all")
        page.get_by_role("button", name="Next").click()
        confirm(page)
        page.get_by_role("button", name="Publish…").click()
        confirm(page)
        assert "v1 is published" in text_of(page, ".messagelist")
    assert Assignment.objects.get().bundle == bundle
    assignment.plan([device.enrollment.pk], device.clock())
    device.connect()
    device.poll()
    assert device.states() == {"requirement": "installed", "capability": "installed"}
    with window(browser, home, session=session) as one:
        assert "v1 is on 1 device" in one.open(f"/admin/profiles/bundle/{bundle.pk}/change/").inner_text("#content")


def confirm(page):
    page.get_by_label("Reason").fill("New office")
    page.get_by_label("How many").fill("1")
    page.locator(
        "#content form[method=post]:has([name=reason]) button, #content form[method=post]:has([name=reason]) input[type=submit]"
    ).last.click()


@pytest.mark.parametrize("size", [{}, PHONE], ids=["desktop", "phone"])
def test_the_composers_pages_have_no_barrier_and_fit(browser, home, session, size):
    client = Client()
    client.cookies["sessionid"] = session
    starter = {"name": "Wi-Fi", "starter": "wifi-with-certificate", "delivery_rule": "", "scope": "System"}
    client.post("/admin/profiles/bundle/add/", starter)
    bundle = Bundle.objects.get()
    base = f"/admin/profiles/bundle/{bundle.pk}"
    pages = [
        "/admin/profiles/bundle/add/",
        f"{base}/change/",
        f"{base}/check/",
        f"{base}/duplicate/",
        f"{base}/preview/",
    ]
    pages += [f"{base}/payloads/add/", f"{base}/payloads/add/other/", f"{base}/payloads/add/com.apple.vpn.managed/"]
    pages += [f"{base}/payloads/{row.pk}/" for row in bundle.payloads.all()]
    with window(browser, home, session=session, **size) as one:
        for path in pages:
            one.open(path)
            assert one.sticks_out <= 0, path
            assert size or one.barriers == [], path


def test_a_button_of_the_form_swaps_the_form_and_keeps_what_was_typed(browser, home, session):
    client = Client()
    client.cookies["sessionid"] = session
    client.post("/admin/profiles/bundle/add/", {"name": "VPN", "starter": "", "delivery_rule": "", "scope": "System"})
    address = f"/admin/profiles/bundle/{Bundle.objects.get().pk}/payloads/add/{VPN}/"
    with window(browser, home, session=session) as one:
        page = one.open(address)
        page.evaluate("window.same = true")
        page.get_by_label("Payload name").fill("HQ")
        page.get_by_label("Kind of VPN").select_option("IKEv2")
        configure(page, "IKEv2")
        page.get_by_label("Local identifier").fill("device")
        assert page.evaluate("window.same")
        assert page.get_by_label("Payload name").input_value() == "HQ"
        assert page.get_by_label("Kind of VPN").input_value() == "IKEv2"
        # The focus went to what appeared.
        assert page.evaluate("document.querySelector('#compose-form').contains(document.activeElement)")


def test_the_catalogue_filters_while_one_types(browser, home, session):
    client = Client()
    client.cookies["sessionid"] = session
    client.post("/admin/profiles/bundle/add/", {"name": "VPN", "starter": "", "delivery_rule": "", "scope": "System"})
    with window(browser, home, session=session) as one:
        page = one.open(f"/admin/profiles/bundle/{Bundle.objects.get().pk}/payloads/add/")
        page.get_by_label("Find a payload").fill("allowcamera")
        shown = page.locator(".compose-entries a:visible")
        assert 0 < shown.count() < 5
        assert "com.apple.applicationaccess" in shown.all_inner_texts()[0]
        assert page.locator("[data-count]").inner_text().startswith(f"{shown.count()} of")
