"""SCEP issuance: one challenge, one certificate; a retry gets the same one; no bytes raise anything."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certificates import scep
from certificates.challenges import mint
from certificates.models import Challenge, IssuedCertificate
from protocol.errors import FailInfo, ScepError
from tests.certificates.requests import device_key, pkcs_request, renewal_request

pytestmark = pytest.mark.django_db


def answer(exchange, now, *, legacy=False):
    return scep.answer(exchange.message, now=now, legacy=legacy)


def enroll(now, key=None):
    """A device with an identity: the row, the certificate, the key."""
    key = key or device_key()
    exchange = pkcs_request(mint(now)[1], now=now, key=key)
    answered = answer(exchange, now)
    return answered.issued, exchange.read(answered.message), key


def refusal(exchange, answered):
    with pytest.raises(ScepError) as caught:
        exchange.read(answered.message)
    assert answered.issued is None
    assert answered.refused
    return caught.value


def test_a_challenge_buys_one_certificate(now):
    challenge, secret = mint(now)
    exchange = pkcs_request(secret, now=now)
    answered = answer(exchange, now)
    certificate = exchange.read(answered.message)
    assert certificate.public_key() == device_key().public_key()
    assert certificate.serial_number == int(answered.issued.serial_number, 16)
    assert answered.renewed is None
    challenge.refresh_from_db()
    assert challenge.used_at == now
    assert challenge.certificate == answered.issued


def test_the_challenge_is_not_stored_in_clear(now):
    challenge, secret = mint(now)
    assert secret.encode() not in bytes(challenge.secret_sha256)
    assert len(challenge.secret_sha256) == 32


def test_the_requested_subject_is_ignored(now):
    _, certificate, _ = enroll(now)
    assert "boss" not in certificate.subject.rfc4514_string()


def test_a_retry_within_minutes_gets_the_same_certificate(now):
    _, secret = mint(now)
    first = pkcs_request(secret, now=now)
    again = pkcs_request(secret, now=now)
    one = first.read(answer(first, now).message)
    two = again.read(answer(again, now + timedelta(minutes=4)).message)
    assert one == two
    assert IssuedCertificate.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "later"),
    [({"transaction_id": "other"}, 1), ({"key": 2}, 1), ({}, 6)],
    ids=["another transaction", "another key", "too late"],
)
def test_a_used_challenge_is_refused(now, change, later):
    _, secret = mint(now)
    answer(pkcs_request(secret, now=now), now)
    if "key" in change:
        change = {"key": device_key(change["key"])}
    second = pkcs_request(secret, now=now, **change)
    error = refusal(second, answer(second, now + timedelta(minutes=later)))
    assert error.fail_info is FailInfo.BAD_REQUEST
    assert IssuedCertificate.objects.count() == 1


@pytest.mark.parametrize("secret", [None, "", "guessed", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")])
def test_a_wrong_challenge_is_refused_with_a_cert_rep(now, secret):
    mint(now)
    exchange = pkcs_request(secret, now=now)
    assert refusal(exchange, answer(exchange, now)).fail_info is FailInfo.BAD_REQUEST
    assert not IssuedCertificate.objects.exists()


def test_an_expired_challenge_is_refused(now):
    challenge, secret = mint(now)
    exchange = pkcs_request(secret, now=now)
    refusal(exchange, answer(exchange, challenge.expires_at + timedelta(seconds=1)))


def test_an_identity_renews_itself(now):
    old, certificate, key = enroll(now)
    new_key = device_key(2)
    exchange = renewal_request(certificate, key, now=now, key=new_key)
    later = now + timedelta(days=300)
    answered = answer(exchange, later)
    assert exchange.read(answered.message).public_key() == new_key.public_key()
    assert answered.renewed.replaces == old
    again = answer(renewal_request(certificate, key, now=now, key=new_key), later + timedelta(minutes=1))
    assert again.renewed == answered.renewed


def test_an_expired_identity_may_still_renew(now):
    old, certificate, key = enroll(now)
    exchange = renewal_request(certificate, key, now=now)
    assert answer(exchange, old.not_after + timedelta(days=3)).renewed


def test_a_revoked_identity_may_not_renew(now):
    old, certificate, key = enroll(now)
    IssuedCertificate.objects.filter(pk=old.pk).update(revoked_at=now)
    exchange = renewal_request(certificate, key, now=now)
    assert refusal(exchange, answer(exchange, now)).fail_info is FailInfo.BAD_CERT_ID


def test_a_strange_certificate_may_not_renew(now):
    from protocol.scep import self_signed

    enroll(now)
    stranger = self_signed(device_key(2), common_name="MDM identity", now=now)
    exchange = renewal_request(stranger, device_key(2), now=now)
    refusal(exchange, answer(exchange, now))
    assert IssuedCertificate.objects.count() == 1


@pytest.mark.parametrize("way", [{"cipher": "des"}, {"digest": "sha1"}])
def test_old_algorithms_need_the_legacy_switch(now, way):
    _, secret = mint(now)
    exchange = pkcs_request(secret, now=now, **way)
    assert refusal(exchange, answer(exchange, now)).fail_info is FailInfo.BAD_ALG
    assert Challenge.objects.get().used_at is None
    assert exchange.read(answer(exchange, now, legacy=True).message)


@pytest.mark.parametrize("cipher", ["aes128", "aes256", "3des"])
def test_the_field_s_ciphers_are_served(now, cipher):
    exchange = pkcs_request(mint(now)[1], now=now, cipher=cipher)
    assert exchange.read(answer(exchange, now).message)


@given(junk=st.binary(max_size=300))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_get_a_cert_rep(junk):
    answered = scep.answer(junk, now=datetime(2026, 11, 23, tzinfo=UTC), legacy=True)
    assert answered.refused
    assert answered.message[:1] == b"\x30"


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_message_never_spends_the_challenge_on_a_stranger(now, position, flip):
    message = bytearray(pkcs_request(mint(now)[1], now=now).message)
    message[position % len(message)] ^= flip
    answered = scep.answer(bytes(message), now=now, legacy=False)
    # A few bits are covered by no signature (versions, unused fields); then the right key is certified all the same.
    assert answered.issued is None or answered.issued.certificate.public_key() == device_key().public_key()


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_share_one_certificate(now):
    """Both hold the same challenge; one UPDATE wins, and the other finds what was issued."""
    _, secret = mint(now)
    exchanges = [pkcs_request(secret, now=now) for _ in range(4)]
    start, seen, broken = threading.Barrier(4), [], []

    def ask(exchange):
        try:
            start.wait(10)
            seen.append(exchange.read(answer(exchange, now).message))
        except Exception as error:  # noqa: BLE001 (a thread's failure must reach the test)
            broken.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(exchange,)) for exchange in exchanges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert broken == []
    assert len({certificate.serial_number for certificate in seen}) == 1
    assert IssuedCertificate.objects.count() == 1


def test_the_capabilities_name_what_apple_needs(settings):
    words = scep.get_ca_caps().split()
    assert {b"POSTPKIOperation", b"SHA-256", b"AES", b"Renewal", b"SCEPStandard"} <= set(words)
    assert b"SHA-1" not in words
    settings.PORTAL_SCEP_LEGACY = True
    assert b"SHA-1" in scep.get_ca_caps().split()
