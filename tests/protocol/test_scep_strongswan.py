"""SCEP against strongSwan's client: enrollment and renewal over loopback HTTP."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from protocol import scep
from protocol.errors import FailInfo, ScepError
from tests.protocol.keyring import Identity

pytestmark = [
    pytest.mark.foreign,
    pytest.mark.real_clock,
    pytest.mark.skipif(shutil.which("pki") is None, reason="strongswan-pki is not installed"),
]

CHALLENGE = "one-time-1234"


def certificate(public_key, signing_key, *, subject: x509.Name, issuer: x509.Name, ca: bool) -> x509.Certificate:
    """A certificate that is valid now: strongSwan looks at the clock."""
    now = datetime.now(UTC)
    usages = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement"), False)
    usages |= {"encipher_only": False, "decipher_only": False, "key_cert_sign": ca, "crl_sign": ca}
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_encipherment=True, **usages), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(signing_key, hashes.SHA256())
    )


@cache
def authority() -> Identity:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example CA")])
    return Identity(certificate(key.public_key(), key, subject=name, issuer=name, ca=True), key)


def answer(message: bytes, seen: list[scep.ScepRequest | ScepError]) -> bytes:
    """What a CA says that knows one challenge and renews what it issued."""
    ca = {"ca": authority().certificate, "private_key": authority().key, "nonce": os.urandom(16)}
    try:
        request = scep.parse_request(message, authority().certificate, private_key=authority().key)
    except ScepError as error:
        seen.append(error)
        return scep.failure(error.request_head, error.fail_info, **ca)
    seen.append(request)
    if request.message_type is scep.MessageType.RENEWAL_REQ:
        request.signer.verify_directly_issued_by(authority().certificate)
    elif request.challenge_password != CHALLENGE:
        return scep.failure(request, FailInfo.BAD_REQUEST, text="The challenge is not known.", **ca)
    issued = certificate(
        request.csr.public_key(),
        authority().key,
        subject=request.csr.subject,
        issuer=authority().certificate.subject,
        ca=False,
    )
    return scep.success(request, issued, **ca)


@contextmanager
def scep_server():
    """A SCEP URL on loopback, and the list of what came in."""
    seen: list[scep.ScepRequest | ScepError] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            operation = query["operation"][0]
            if operation == "GetCACaps":
                self.reply("text/plain", scep.capabilities(legacy=False))
            elif operation == "GetCACert":
                self.reply("application/x-x509-ca-cert", authority().der)
            else:
                message = base64.b64decode(query["message"][0].replace(" ", "+"))
                self.reply("application/x-pki-message", answer(message, seen))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply("application/x-pki-message", answer(body, seen))

        def reply(self, content_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/scep", seen
        finally:
            server.shutdown()
            thread.join()


def pki(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["pki", *map(str, arguments)], capture_output=True, check=False, timeout=60)


def write_key(path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize(("cipher", "ours"), [("aes", "aes128"), ("des3", "3des")])
def test_strongswan_enrolls_and_renews(tmp_path, cipher, ours, digest):
    ca, key, new_key = tmp_path / "ca.der", tmp_path / "key.der", tmp_path / "new.der"
    ca.write_bytes(authority().der)
    write_key(key)
    write_key(new_key)
    with scep_server() as (url, seen):
        common = ("--scep", "--url", url, "--cacert-enc", ca, "--cacert-sig", ca, "--cacert", ca)
        common += ("--cipher", cipher, "--digest", digest)
        first = pki(*common, "--in", key, "--dn", "CN=Device", "--password", CHALLENGE)
        assert first.returncode == 0, first.stderr.decode()
        issued = x509.load_der_x509_certificate(first.stdout)
        assert issued.subject.rfc4514_string() == "CN=Device"
        assert (seen[0].cipher, seen[0].digest) == (ours, digest)

        (tmp_path / "issued.der").write_bytes(first.stdout)
        second = pki(*common, "--in", new_key, "--dn", "CN=Device", "--cert", tmp_path / "issued.der", "--key", key)
        assert second.returncode == 0, second.stderr.decode()
        renewed = x509.load_der_x509_certificate(second.stdout)
        assert renewed.public_key() != issued.public_key()
        assert seen[1].message_type is scep.MessageType.RENEWAL_REQ
        assert seen[1].signer == issued


def test_strongswan_is_told_why_it_is_refused(tmp_path):
    ca, key = tmp_path / "ca.der", tmp_path / "key.der"
    ca.write_bytes(authority().der)
    write_key(key)
    with scep_server() as (url, _):
        done = pki(
            *("--scep", "--url", url, "--in", key, "--dn", "CN=Device", "--password", "wrong"),
            *("--cacert-enc", ca, "--cacert-sig", ca),
        )
    assert done.returncode != 0
    assert b"badRequest" in done.stderr
