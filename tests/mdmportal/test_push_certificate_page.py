"""Uploading a push certificate: what is refused is said, what is stored is recorded, and no password comes back."""

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from certificates.models import PushCertificate
from devices.models import Device, Enrollment
from operations.models import AuditEvent
from tests.certificates.test_push_certificates import TOPIC, key_pem, make, pem
from tests.mdmportal.admin_rows import administrator, reader

pytestmark = pytest.mark.django_db
PASSWORD = "never-rendered-back"


@pytest.fixture
def root():
    client = Client()
    client.force_login(administrator())
    return client


def upload(client, certificate, key=None, **values):
    data = {"certificate": SimpleUploadedFile("c", certificate), "reason": "yearly", **values}
    if key is not None:
        data["key"] = SimpleUploadedFile("k", key)
    return client.post(reverse("push_certificate"), data)


def enrolled(topic, number):
    now = timezone.now()
    device = Device.objects.create(udid=f"U{number}", created_at=now, state="enrolled")
    Enrollment.objects.create(
        device=device, kind="device", enrollment_id=f"U{number}", state="enrolled", authenticated_at=now, topic=topic
    )


def test_a_pair_in_pem_is_stored_and_recorded(root):
    certificate, key = make(timezone.now())
    assert upload(root, pem(certificate), key_pem(key)).status_code == 302
    assert PushCertificate.objects.get().topic == TOPIC
    [event] = AuditEvent.objects.filter(action="push_certificate.upload")
    assert (event.reason, event.details["topic"]) == ("yearly", TOPIC)
    assert "PRIVATE KEY" not in str(event.details)
    page = reverse("admin:certificates_pushcertificate_change", args=[PushCertificate.objects.get().pk])
    assert b"PRIVATE KEY" not in root.get(page).content


def test_a_pkcs12_file_is_stored(root):
    certificate, key = make(timezone.now())
    data = pkcs12.serialize_key_and_certificates(
        b"x", key, certificate, None, BestAvailableEncryption(PASSWORD.encode())
    )
    assert upload(root, data, password=PASSWORD).status_code == 302
    assert PushCertificate.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"\x30\x00", "no PKCS#12 file"), (b"-----BEGIN nothing", "no certificate in PEM form"), (b"", "empty")],
)
def test_what_is_no_certificate_is_explained(root, data, sentence):
    response = upload(root, data, password=PASSWORD)
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert PASSWORD not in response.content.decode()
    assert not PushCertificate.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_file_as_large_as_no_certificate_is_not_read(root):
    assert b"larger than any certificate" in upload(root, b"x" * 300_000).content


def test_another_topic_is_refused_until_the_loss_is_typed(root):
    enrolled("com.apple.mgmt.External.other", 1)
    enrolled("com.apple.mgmt.External.other", 2)
    certificate, key = make(timezone.now())
    response = upload(root, pem(certificate), key_pem(key))
    assert response.status_code == 400
    assert "2 enrolled device(s)" in response.content.decode()
    assert upload(root, pem(certificate), key_pem(key), accepted_loss="1").status_code == 400
    assert not PushCertificate.objects.exists()
    assert upload(root, pem(certificate), key_pem(key), accepted_loss="2").status_code == 302
    assert AuditEvent.objects.get().details["accepted_loss"] == 2


def test_only_who_may_add_certificates_uploads():
    client = Client()
    client.force_login(reader())
    certificate, key = make(timezone.now())
    assert upload(client, pem(certificate), key_pem(key)).status_code == 403
    assert not PushCertificate.objects.exists()
