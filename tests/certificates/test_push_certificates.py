"""A push certificate is taken only whole, matching, in date and with the topic that devices know."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from certificates.models import PushCertificate
from certificates.push_certificates import (
    PushCertificateError,
    current_push_certificate,
    upload_pem,
    upload_pkcs12,
)

pytestmark = pytest.mark.django_db
TOPIC = "com.apple.mgmt.External.example"


def make(now, *, topic=TOPIC, days=365, key=None, attributes=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    named = [x509.NameAttribute(NameOID.USER_ID, topic)] if topic else []
    name = x509.Name([*named, x509.NameAttribute(NameOID.COMMON_NAME, "APSP: example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1) + min(timedelta(), timedelta(days=days)) * 2)
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def pem(certificate):
    return certificate.public_bytes(Encoding.PEM)


def key_pem(key, password=None):
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def refusal(code, certificate_pem, key, now, **more):
    with pytest.raises(PushCertificateError) as caught:
        upload_pem(certificate_pem, key, now=now, enrolled_topics=more.pop("enrolled_topics", {}), **more)
    assert caught.value.code == code
    assert PushCertificate.objects.count() == more.get("left", 0)
    return str(caught.value)


def test_a_pair_in_pem_is_stored_with_its_topic(now):
    certificate, key = make(now)
    stored = upload_pem(pem(certificate), key_pem(key), now=now, enrolled_topics={})
    assert stored.topic == TOPIC
    assert stored.not_after == certificate.not_valid_after_utc
    assert current_push_certificate() == stored


def test_one_file_may_hold_both(now):
    certificate, key = make(now)
    assert upload_pem(pem(certificate) + key_pem(key), now=now, enrolled_topics={}).topic == TOPIC


def test_a_pkcs12_file_with_a_password_is_stored(now):
    certificate, key = make(now)
    data = pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, BestAvailableEncryption(b"word"))
    assert upload_pkcs12(data, "word", now=now, enrolled_topics={}).topic == TOPIC
    with pytest.raises(PushCertificateError) as caught:
        upload_pkcs12(data, "wrong", now=now, enrolled_topics={})
    assert caught.value.code == "not_pkcs12"


def test_a_pkcs12_file_without_a_key_is_refused(now):
    certificate, _ = make(now)
    data = pkcs12.serialize_key_and_certificates(b"x", None, certificate, None, NoEncryption())
    with pytest.raises(PushCertificateError, match="both"):
        upload_pkcs12(data, "", now=now, enrolled_topics={})


def test_a_key_of_another_certificate_is_refused(now):
    certificate, _ = make(now)
    _, other = make(now)
    refusal("key_mismatch", pem(certificate), key_pem(other), now)


def test_an_encrypted_key_without_its_password_is_refused(now):
    certificate, key = make(now)
    refusal("no_key", pem(certificate), key_pem(key, b"word"), now)
    assert upload_pem(pem(certificate), key_pem(key, b"word"), now=now, enrolled_topics={}, password=b"word")


def test_a_certificate_without_a_topic_is_refused(now):
    certificate, key = make(now, topic="")
    refusal("no_topic", pem(certificate), key_pem(key), now)
    certificate, key = make(now, topic="com.example.app")
    refusal("no_topic", pem(certificate), key_pem(key), now)


def test_dates_are_checked(now):
    certificate, key = make(now, days=-1)
    refusal("expired", pem(certificate), key_pem(key), now)
    certificate, key = make(now)
    refusal("not_yet_valid", pem(certificate), key_pem(key), now - timedelta(days=30))


def test_a_request_in_place_of_the_certificate_is_named(now):
    assert "request" in refusal("not_a_certificate", b"-----BEGIN CERTIFICATE REQUEST-----", b"", now)
    assert "private key" in refusal("not_a_certificate", b"-----BEGIN PRIVATE KEY-----", b"", now)


def test_a_renewal_takes_over(now):
    first = upload_pem(*pair(make(now)), now=now, enrolled_topics={})
    second = upload_pem(*pair(make(now)), now=now + timedelta(days=300), enrolled_topics={TOPIC: 500})
    first.refresh_from_db()
    assert first.replaced_at == now + timedelta(days=300)
    assert PushCertificate.objects.current(TOPIC) == second == current_push_certificate()


def test_another_topic_is_refused_while_devices_are_enrolled(now):
    certificate, key = make(now, topic="com.apple.mgmt.External.other")
    text = refusal("other_topic", pem(certificate), key_pem(key), now, enrolled_topics={TOPIC: 12})
    assert "12" in text


def test_another_topic_is_taken_by_who_names_the_loss(now):
    certificate, key = make(now, topic="com.apple.mgmt.External.other")
    refusal("other_topic", pem(certificate), key_pem(key), now, enrolled_topics={TOPIC: 12}, accepted_loss=11)
    assert upload_pem(pem(certificate), key_pem(key), now=now, enrolled_topics={TOPIC: 12}, accepted_loss=12)


def test_the_same_upload_twice_is_one(now):
    certificate, key = make(now)
    first = upload_pem(pem(certificate), key_pem(key), now=now, enrolled_topics={})
    second = upload_pem(pem(certificate), key_pem(key), now=now, enrolled_topics={})
    assert first.pk == second.pk
    assert second.replaced_at is None


def pair(made):
    certificate, key = made
    return pem(certificate), key_pem(key)


@given(certificate=st.binary(max_size=200), key=st.binary(max_size=200), wrap=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_bytes_are_refused_with_a_sentence(certificate, key, wrap):
    from datetime import UTC, datetime

    moment = datetime(2026, 11, 23, tzinfo=UTC)
    if wrap:
        certificate = b"-----BEGIN CERTIFICATE-----\n" + certificate + b"\n-----END CERTIFICATE-----\n"
    with pytest.raises(PushCertificateError):
        upload_pem(certificate, key, now=moment, enrolled_topics={})
    with pytest.raises(PushCertificateError):
        upload_pkcs12(certificate, "x", now=moment, enrolled_topics={})
