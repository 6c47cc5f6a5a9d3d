"""Odd HTTP against the real web server: what granian, Django and the door together make of it.

A database without devices is enough: the log says how far a request came. "speaks for no device" means that its
signature over the body was verified.
"""

import base64
import plistlib
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from protocol.cms import sign_detached
from protocol.scep import self_signed
from tests.certificates.requests import device_key
from tests.end_to_end.portal import ROOT, clean, free_port

pytestmark = pytest.mark.end_to_end
PATIENCE = 60.0
VERIFIED = "speaks for no device"
DOCUMENTED = {200, 400, 404, 405, 413, 503}


class Server:
    """One web server process on an empty database; `ask` gives the status and the log line of one raw request."""

    def __init__(self, folder):
        self.port = free_port()
        self.log = folder / "web.log"
        environment = {
            **clean(folder / "data"),
            "PORTAL_LISTEN": f"127.0.0.1:{self.port}",
            "PORTAL_URL": f"http://127.0.0.1:{self.port}",
            "PORTAL_LOG_LEVEL": "DEBUG",
            "PORTAL_TRUSTED_PROXIES": "127.0.0.1",
            "PORTAL_CERTIFICATE_HEADER": "ClientCert",
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate"], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mdmportal.web_server"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while self.status(b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") != 200:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def send(self, *parts):
        """The first bytes of the answer to a request that is sent in pieces; b"" when the connection was closed."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.05)
                return connection.recv(65536)
        except OSError:
            return b""

    def status(self, *parts):
        line = self.send(*parts).split(b"\r\n")[0].split(b" ")
        return int(line[1]) if len(line) > 1 else 0

    def ask(self, *parts):
        size = self.log.stat().st_size
        status = self.status(*parts)
        return status, self.log.read_bytes()[size:].decode()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("raw"))
    yield started
    started.stop()


BODY = plistlib.dumps({"UDID": "RAW", "Status": "Idle"})


def signature(body=BODY):
    certificate = self_signed(device_key(), common_name="raw", now=datetime.now(UTC))
    return b"Mdm-Signature: " + base64.b64encode(sign_detached(body, certificate, private_key=device_key())) + b"\r\n"


def put(*headers, body=BODY, path=b"/mdm/connect", length=True):
    lines = b"".join(headers) + (b"Content-Length: %d\r\n" % len(body) if length else b"")
    return b"PUT " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lines + b"\r\n" + body


def chunked(body=BODY):
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    return put(signature(body), b"Transfer-Encoding: chunked\r\n", body=pieces + b"0\r\n\r\n", length=False)


@pytest.mark.real_clock
def test_a_signed_body_arrives_whole_however_it_is_sent(server):
    whole = put(signature())
    head, _, body = whole.partition(b"\r\n\r\n")
    ways = {
        "at once": [whole],
        "in pieces": [whole[:100], whole[100:-20], whole[-20:]],
        "chunked": [chunked()],
        "Expect": [head + b"\r\nExpect: 100-continue\r\n\r\n", body],
        "two types": [put(signature(), b"Content-Type: a/b\r\nContent-Type: c/d\r\n")],
        "a type that is no text": [put(signature(), b"Content-Type: \xff\xfe\r\n")],
        "an odd header": [put(signature(), b"X-Odd: \xff\xfe\r\n")],
        "8 KiB of query": [put(signature(), path=b"/mdm/connect?" + b"x" * 8192)],
        "a long signature": [put(signature()[:-2] + b"  " * 4000 + b"\r\n")],
    }
    for name, parts in ways.items():
        status, log = server.ask(*parts)
        if name == "Expect":
            assert status in {100, 400}
        else:
            assert (name, status, VERIFIED in log) == (name, 400, True)


@pytest.mark.parametrize(
    "request_bytes",
    [
        put(length=False),
        put(b"Content-Length: 5\r\nContent-Length: 6\r\n", length=False),
        put(b"Transfer-Encoding: chunked\r\n"),
        put(b"Transfer-Encoding: chunked\r\n", body=b"zz\r\n", length=False),
        put(b"Content-Length: -1\r\n", length=False),
        put(b"Content-Length: 99999999999\r\n", length=False),
        put(b"Mdm-Signature: \xff\xfe\r\n"),
        put(b"Mdm-Signature: AAAA\r\nMdm-Signature: AAAA\r\n"),
        put(b"Mdm_Signature: AAAA\r\n"),
        put(b"Content-Encoding: gzip\r\n"),
        put(path=b"/mdm/connect/"),
        put(path=b"//mdm/connect"),
        put(path=b"/mdm/../mdm/connect"),
        put(path=b"/enroll/%ff%00%zz/"),
        put(path=b"/scep?operation=%ff&message=%00"),
        put(path=b"http://evil.example.org/mdm/connect"),
        b"GET /mdm/connect HTTP/1.0\r\n\r\n",
        b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
        b"HEAD /mdm/checkin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"W%EIRD /mdm/connect HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /enroll/\xff\xfe/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /scep?operation=PKIOperation&message=" + b"A" * 8192 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_an_odd_request_gets_a_documented_status_and_no_redirect(server, request_bytes):
    answer = server.send(request_bytes)
    status = int(answer.split(b" ")[1])
    assert status in DOCUMENTED
    assert b"location:" not in answer.lower()
    assert b"Traceback" not in answer
    assert server.status(put()) == 400


def test_two_certificate_headers_are_refused_and_the_underscore_is_no_other_spelling(server):
    der = base64.b64encode(b"no certificate of anybody")
    one = b"ClientCert: :" + der + b":\r\n"
    assert VERIFIED in server.ask(put(one))[1]
    assert "more than once" in server.ask(put(one, one))[1]
    assert "neither" in server.ask(put(one.replace(b"ClientCert", b"Client_Cert")))[1]
    assert "neither" in server.ask(put(one.replace(b"ClientCert", b"Client-Cert")))[1]


def test_an_enrollment_link_s_token_is_in_no_line_of_the_server_s_log(server):
    token = b"raw-token-of-32-letters-or-more-"
    for path in (
        b"/enroll/%s/",
        b"/enroll/%s/profile",
        b"/enroll/%s/qr.svg",
        b"/enroll/%s",
        b"/enroll//%s/",
        b"/ENROLL/%s",
        b"/enrol%s/",
    ):
        for host in (b"127.0.0.1", b"evil.example.org"):
            server.status(b"GET " + path % token + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            server.status(b"POST " + path % token + b" HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 0\r\n\r\n")
    log = server.log.read_text()
    assert "/enroll/" in log
    assert token.decode() not in log


def test_no_secret_of_the_installation_is_in_the_server_s_log(server):
    data = server.log.parent / "data" / "keys"
    keys = [path.read_text().strip() for path in data.iterdir() if path.name in {"secret_key", "encryption_keys"}]
    assert len(keys) == 2
    assert [key for key in keys if key in server.log.read_text(errors="replace")] == []
