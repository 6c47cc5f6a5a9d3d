"""The page behind an enrollment link: clear words for every state, a profile that a device can use."""

from datetime import timedelta

import pytest
from django.utils import timezone

from certificates.authority import ensure_authority
from certificates.models import Challenge
from devices.models import Invitation, InvitationDownload
from protocol.cms import looks_like_cms, verify_attached
from protocol.mobileconfig import parse_mobileconfig, read_enrollment, unwrap_mobileconfig
from protocol.plist import loads_dict
from tests.endpoint.phone import TOPIC, invite, push_certificate

pytestmark = pytest.mark.django_db


@pytest.fixture
def token():
    push_certificate()
    return invite()[1]


def test_the_page_leads_to_the_profile(client, token, settings):
    settings.PORTAL_URL = "https://mdm.example.com"
    answer = client.get(f"/enroll/{token}/", headers={"host": "127.0.0.1"})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert answer["Content-Security-Policy"].startswith("default-src 'self'")
    assert f"https://mdm.example.com/enroll/{token}/profile" in text
    assert "iPhone" in text
    assert "Mac" in text
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_the_page_has_no_inline_style_or_script(client, token):
    text = client.get(f"/enroll/{token}/").content.decode()
    assert "<script" not in text
    assert "<style" not in text
    assert "style=" not in text
    assert "style=" not in client.get(f"/enroll/{token}/qr.svg").content.decode()


def test_the_qr_code_is_a_picture(client, token):
    answer = client.get(f"/enroll/{token}/qr.svg")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/svg+xml")
    assert answer.content.startswith(b"<svg")


def test_the_profile_is_signed_and_says_where_to_go(client, token, settings):
    settings.PORTAL_URL = "https://mdm.example.com"
    answer = client.get(f"/enroll/{token}/profile")
    assert answer["Content-Type"] == "application/x-apple-aspen-config"
    content, signer = verify_attached(answer.content)
    root = ensure_authority(timezone.now()).certificate
    signer.certificate.verify_directly_issued_by(root)
    facts = read_enrollment(loads_dict(content))
    assert facts.server_url == "https://mdm.example.com/mdm/connect"
    assert facts.check_in_url == "https://mdm.example.com/mdm/checkin"
    assert facts.scep_url == "https://mdm.example.com/scep"
    assert (facts.topic, facts.sign_message, facts.check_out_when_removed) == (TOPIC, True, True)
    assert unwrap_mobileconfig(answer.content)[0].identifier == "com.example.mdm.mdm.enrollment"


def test_signing_can_be_turned_off(client, token, settings):
    settings.PORTAL_SIGN_ENROLLMENT = False
    data = client.get(f"/enroll/{token}/profile").content
    assert not looks_like_cms(data)
    assert parse_mobileconfig(data).payload_types == (
        "com.apple.security.root", "com.apple.security.scep", "com.apple.mdm",
    )  # fmt: skip


def test_each_download_has_its_own_challenge_and_uses_nothing_up(client, token, settings):
    settings.PORTAL_SIGN_ENROLLMENT = False
    challenges = {
        read_enrollment(loads_dict(client.get(f"/enroll/{token}/profile").content)).challenge for _ in range(3)
    }
    assert len(challenges) == 3
    assert InvitationDownload.objects.count() == 3
    assert Invitation.objects.get().used_count == 0


def test_looking_at_the_page_mints_nothing(client, token):
    client.get(f"/enroll/{token}/")
    client.head(f"/enroll/{token}/")
    client.get(f"/enroll/{token}/qr.svg")
    assert client.head(f"/enroll/{token}/profile").status_code == 405
    assert not Challenge.objects.exists()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"expires_at": timedelta(seconds=-1)}, 410, "expired"),
        ({"revoked_at": timedelta()}, 410, "withdrawn"),
        ({"used_count": 1}, 410, "has been used"),
    ],
)
def test_a_link_that_is_over_says_why(client, token, change, status, words):
    now = timezone.now()
    values = {name: now + value if isinstance(value, timedelta) else value for name, value in change.items()}
    Invitation.objects.update(**values)
    for path in ("", "profile", "qr.svg"):
        answer = client.get(f"/enroll/{token}/{path}")
        assert answer.status_code == status
        assert words in answer.content.decode()
    assert not Challenge.objects.exists()


def test_an_unknown_link_says_so(client):
    push_certificate()
    for token in ("nonsense", "%00", "\u2603", "x" * 3000):
        answer = client.get(f"/enroll/{token}/")
        assert answer.status_code == 404
        assert "not known" in answer.content.decode()


def test_without_a_push_certificate_the_page_says_so(client):
    _, token = invite()
    for path in ("", "profile"):
        answer = client.get(f"/enroll/{token}/{path}")
        assert answer.status_code == 503
        assert "push certificate" in answer.content.decode()
    assert not Challenge.objects.exists()
