"""The authority is made once, issues what Apple's clients take, and records everything."""

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.db import connection

from certificates.authority import authority_key, ensure_authority, issue_identity, issue_server, signer
from certificates.models import CertificateAuthority, IssuedCertificate

pytestmark = pytest.mark.django_db


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def test_the_authority_is_made_once(now):
    first, second = ensure_authority(now), ensure_authority(now + timedelta(days=1))
    assert first.pk == second.pk
    assert bytes(first.certificate_der) == bytes(second.certificate_der)
    assert CertificateAuthority.objects.count() == 1


def test_the_authority_can_sign_and_receive_scep_messages(now):
    authority = ensure_authority(now)
    usage = extension(authority.certificate, x509.KeyUsage)
    assert usage.digital_signature
    assert usage.key_encipherment
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert isinstance(authority.certificate.public_key(), rsa.RSAPublicKey)
    assert authority.not_after - now > timedelta(days=19 * 365)
    assert authority_key(authority).public_key() == authority.certificate.public_key()


def test_the_key_lies_encrypted_in_the_database(now):
    ensure_authority(now)
    with connection.cursor() as cursor:
        cursor.execute("SELECT private_key_pem FROM certificates_certificateauthority")
        stored = bytes(cursor.fetchone()[0])
    assert b"PRIVATE KEY" not in stored


def test_an_identity_is_recorded_with_its_fingerprint(now):
    authority = ensure_authority(now)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = issue_identity(authority, key.public_key(), common_name="MDM identity 1", now=now)
    certificate = issued.certificate
    certificate.verify_directly_issued_by(authority.certificate)
    assert bytes(issued.sha256) == hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    assert list(extension(certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc
    assert issued.not_after == certificate.not_valid_after_utc
    assert issued.private_key_pem is None


def test_nothing_outlives_the_authority(now):
    authority = ensure_authority(now)
    late = authority.not_after - timedelta(days=3)
    key = ec.generate_private_key(ec.SECP256R1())
    assert issue_identity(authority, key.public_key(), common_name="x", now=late).not_after == authority.not_after


def test_a_server_certificate_names_hosts_and_addresses(now):
    issued = issue_server(ensure_authority(now), host_names=["mdm.example.com", "127.0.0.1"], now=now)
    names = extension(issued.certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["mdm.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    # Apple refuses longer ones.
    assert issued.not_after - issued.not_before <= timedelta(days=825)
    assert IssuedCertificate.objects.get(pk=issued.pk).private_key_pem.startswith(b"-----BEGIN PRIVATE KEY")


def test_a_server_certificate_without_names_is_refused(now):
    with pytest.raises(ValueError, match="host name"):
        issue_server(ensure_authority(now), host_names=[], now=now)


def test_the_signer_stays_the_same_until_its_last_third(now):
    first, _, chain = signer(now)
    again, _, _ = signer(now + timedelta(days=400))
    renewed, key, _ = signer(now + timedelta(days=500))
    assert first == again
    assert renewed != first
    assert key.public_key() == renewed.public_key()
    renewed.verify_directly_issued_by(chain[0])


def test_a_second_process_takes_the_signer_that_is_there(now):
    from certificates import authority

    first, _, _ = signer(now)
    authority._signers.clear()
    second, _, _ = signer(now)
    assert first == second


def test_the_signer_costs_one_statement_once_it_is_kept(now, django_assert_num_queries):
    signer(now)
    with django_assert_num_queries(1):
        signer(now)


@pytest.mark.foreign
@pytest.mark.real_clock
def test_openssl_believes_what_the_authority_issued(tmp_path):
    now = datetime.now(UTC)
    authority = ensure_authority(now)
    server = issue_server(authority, host_names=["mdm.example.com"], now=now)
    identity = issue_identity(authority, ec.generate_private_key(ec.SECP256R1()).public_key(), common_name="x", now=now)
    root = tmp_path / "root.pem"
    root.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    for issued, purpose in ((server, "sslserver"), (identity, "sslclient")):
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, leaf]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
