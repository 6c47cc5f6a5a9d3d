"""The import page in Debian's Chromium: a signed file chosen, looked at and imported, with scripts and without."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client

from profiles.models import Bundle
from protocol.cms import sign_attached
from protocol.mobileconfig import build_mobileconfig
from protocol.plist import dumps
from tests.mdmportal import browser as chromium
from tests.mdmportal.admin_rows import administrator
from tests.mdmportal.browser import DESKTOP, PHONE, window
from tests.profiles.fleet import PASSCODE, WIFI, payload

pytestmark = [
    pytest.mark.browser,
    pytest.mark.real_clock,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.MISSING),
]


@pytest.fixture
def signed(tmp_path, signing) -> Path:
    from certificates.authority import signer

    certificate, key, chain = signer(datetime(2026, 11, 23, 12, tzinfo=UTC))
    wifi = payload(WIFI, SSID_STR="Office", Password="x", Invented=1, EncryptionType="Nonsense")
    content = build_mobileconfig(
        [payload(PASSCODE, forcePIN=True, minLength=6), wifi, payload("com.example.unheard.of", Setting=1)],
        identifier="com.example.office", uuid="U-1", display_name="Office Wi-Fi", organization="Example Ltd",
    )  # fmt: skip
    path = tmp_path / "office.mobileconfig"
    path.write_bytes(sign_attached(dumps(content), certificate, private_key=key, chain=chain))
    return path


@pytest.mark.parametrize(
    ("device", "scripts", "scheme"), [(DESKTOP, True, "light"), (PHONE, False, "dark")], ids=["desk", "phone"]
)
def test_a_signed_file_is_looked_at_and_imported(live_server, settings, browser, signed, device, scripts, scheme):
    settings.PORTAL_URL = live_server.url
    client = Client()
    client.force_login(administrator())
    options = {**device, "java_script_enabled": scripts, "color_scheme": scheme}
    with window(browser, live_server.url, session=client.cookies["sessionid"].value, **options) as one:
        page = one.open("/admin/profiles/bundle/")
        page.get_by_role("link", name="Import .mobileconfig…").click()
        assert one.sticks_out <= 0
        page.get_by_label("Configuration profile").set_input_files(signed)
        page.get_by_role("button", name="Look inside").click()
        page.get_by_text("Signature", exact=True).wait_for()
        assert one.sticks_out <= 0
        if scripts:
            assert one.barriers == []
        page.get_by_role("button", name="Import as a new draft").click()
        page.get_by_text("3 payloads imported").wait_for()
    assert Bundle.objects.get().payloads.count() == 3
