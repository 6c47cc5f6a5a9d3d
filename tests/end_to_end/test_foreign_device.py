"""A device made of curl, openssl and hand-written plists alone: nothing of it shares the portal's code.

It follows one invitation from the link to an acknowledged command, with its identity from strongSwan's SCEP client where
that is installed.
"""

import json
import plistlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.portal import Portal, free_port, running

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.foreign,
    pytest.mark.real_clock,
    pytest.mark.skipif(
        not all(shutil.which(tool) for tool in ("curl", "openssl", "pki")),
        reason="curl, openssl or strongswan-pki is missing",
    ),
]

DEVICES = {"aes": ("00008020-000915083C80012E", "CURL00001"), "des3": ("00008020-000915083C80012F", "CURL00002")}
TOKEN = "qrvM3e7/ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJk="


def tool(*arguments: object, data: bytes | None = None) -> bytes:
    done = subprocess.run([str(word) for word in arguments], input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (arguments, done.stderr.decode(errors="replace"))
    return done.stdout


def document(body: str) -> bytes:
    """A property list as a device writes it, by hand."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
        f'<plist version="1.0"><dict>{body}</dict></plist>\n'
    ).encode()


class CurlDevice:
    """Keeps its files in a folder; each request is one curl."""

    def __init__(self, folder: Path, profile_url: str) -> None:
        self.folder = folder
        signed = tool("curl", "-sSf", profile_url)
        (folder / "enrollment.der").write_bytes(signed)
        content = tool("openssl", "cms", "-verify", "-noverify", "-inform", "DER", "-in", folder / "enrollment.der")
        self.profile = plistlib.loads(content)
        self.payloads = {payload["PayloadType"]: payload for payload in self.profile["PayloadContent"]}
        self.mdm = self.payloads["com.apple.mdm"]

    def enroll_identity(self, cipher: str) -> None:
        scep = self.payloads["com.apple.security.scep"]["PayloadContent"]
        tool("curl", "-sSf", "-o", self.folder / "ca.der", scep["URL"] + "?operation=GetCACert")
        # strongSwan's own GetCACert must come to the same certificate.
        tool("pki", "--scepca", "--url", scep["URL"], "--caout", self.folder / "scepca.der")
        assert (self.folder / "scepca.der").read_bytes() == (self.folder / "ca.der").read_bytes()
        tool("openssl", "genrsa", "-traditional", "-out", self.folder / "key.pem", "2048")
        tool(
            "openssl",
            "rsa",
            "-in",
            self.folder / "key.pem",
            "-outform",
            "DER",
            "-out",
            self.folder / "key.der",
            "-traditional",
        )
        certificate = tool(
            *("pki", "--scep", "--url", scep["URL"], "--in", self.folder / "key.der", "--dn", "CN=curl"),
            *("--password", scep["Challenge"], "--cipher", cipher, "--digest", "sha256"),
            *(
                "--cacert-enc",
                self.folder / "ca.der",
                "--cacert-sig",
                self.folder / "ca.der",
                "--cacert",
                self.folder / "ca.der",
            ),
        )
        self._take(certificate)

    def _take(self, certificate: bytes) -> None:
        (self.folder / "cert.der").write_bytes(certificate)
        (self.folder / "cert.pem").write_bytes(tool("openssl", "x509", "-inform", "DER", data=certificate))

    def renew_identity(self, cipher: str) -> None:
        """A RenewalReq for a new key, signed by the certificate in force (macOS does this without a check-in)."""
        scep = self.payloads["com.apple.security.scep"]["PayloadContent"]
        tool("openssl", "genrsa", "-traditional", "-out", self.folder / "new.pem", "2048")
        tool(
            "openssl",
            "rsa",
            "-in",
            self.folder / "new.pem",
            "-outform",
            "DER",
            "-out",
            self.folder / "new.der",
            "-traditional",
        )
        certificate = tool(
            *("pki", "--scep", "--url", scep["URL"], "--in", self.folder / "new.der", "--dn", "CN=curl"),
            *(
                "--cert",
                self.folder / "cert.der",
                "--key",
                self.folder / "key.der",
                "--cipher",
                cipher,
                "--digest",
                "sha256",
            ),
            *(
                "--cacert-enc",
                self.folder / "ca.der",
                "--cacert-sig",
                self.folder / "ca.der",
                "--cacert",
                self.folder / "ca.der",
            ),
        )
        self._take(certificate)
        for ending in ("pem", "der"):
            (self.folder / f"new.{ending}").replace(self.folder / f"key.{ending}")

    def put(self, url: str, body: bytes, *options: str, content_type: str | None = None) -> tuple[int, bytes]:
        """Signs the body with `openssl cms` and PUTs it; status and answer."""
        (self.folder / "body").write_bytes(body)
        signature = tool(
            *(
                "openssl",
                "cms",
                "-sign",
                "-binary",
                "-in",
                self.folder / "body",
                "-outform",
                "DER",
                "-md",
                "sha256",
                *options,
            ),
            *("-signer", self.folder / "cert.pem", "-inkey", self.folder / "key.pem"),
        )
        encoded = tool("openssl", "base64", "-A", data=signature).decode()
        # An empty value makes curl leave the header out: some devices do.
        header = f"Content-Type: {content_type}" if content_type else "Content-Type:"
        answer = tool(
            *("curl", "-sS", "-X", "PUT", "--data-binary", f"@{self.folder / 'body'}", "-H", header),
            *("-H", f"Mdm-Signature: {encoded}", "-o", self.folder / "answer", "-w", "%{http_code}", url),
        )
        return int(answer), (self.folder / "answer").read_bytes()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    port, folder = free_port(), tmp_path_factory.mktemp("portal")
    addresses = {"PORTAL_LISTEN": f"127.0.0.1:{port}", "PORTAL_URL": f"http://127.0.0.1:{port}"}
    with running(["up"], folder / "data", **addresses) as portal:
        portal.wait_for("MDM Portal is up")
        upload_push_certificate(portal, folder)
        yield portal


@pytest.mark.parametrize("cipher", ["aes", "des3"])
def test_curl_and_openssl_alone_go_from_the_link_to_an_acknowledged_command(portal, tmp_path, cipher):
    udid, serial = DEVICES[cipher]
    invitation = told(portal, "invite")
    folder = tmp_path
    device = CurlDevice(folder, invitation["profile_url"])
    assert device.mdm["SignMessage"] is True
    device.enroll_identity(cipher)
    issued = tool("openssl", "x509", "-in", folder / "cert.pem", "-noout", "-ext", "extendedKeyUsage")
    assert b"TLS Web Client Authentication" in issued

    topic = device.mdm["Topic"]
    check_in = "application/x-apple-aspen-mdm-checkin"
    authenticate = document(
        f"<key>MessageType</key><string>Authenticate</string><key>Topic</key><string>{topic}</string>"
        f"<key>UDID</key><string>{udid}</string><key>SerialNumber</key><string>{serial}</string>"
        "<key>ProductName</key><string>iPad13,1</string><key>OSVersion</key><string>18.1</string>"
    )
    assert device.put(device.mdm["CheckInURL"], authenticate, content_type=check_in) == (200, b"")
    assert status_of(portal, serial)["state"] == "pending"
    token_update = document(
        f"<key>MessageType</key><string>TokenUpdate</string><key>Topic</key><string>{topic}</string>"
        f"<key>UDID</key><string>{udid}</string><key>PushMagic</key><string>&lt;magic&gt;</string>"
        f"<key>Token</key><data>{TOKEN}</data>"
    )
    assert device.put(device.mdm["CheckInURL"], token_update, "-noattr", content_type=check_in) == (200, b"")
    assert status_of(portal, serial)["state"] == "enrolled"

    answered = acknowledge_everything(device, udid)
    assert {"DeviceInformation", "SecurityInfo", "ProfileList"} <= answered.keys()
    sent = told(portal, "send_command", serial, "CertificateList")
    device.renew_identity(cipher)
    assert acknowledge_everything(device, udid) == {"CertificateList": sent["uuid"]}
    commands = {command["uuid"]: command["state"] for command in status_of(portal, serial)["commands"]}
    assert commands[sent["uuid"]] == "acknowledged"


def acknowledge_everything(device: CurlDevice, udid: str) -> dict[str, str]:
    """One session: Idle, then an Acknowledged for whatever comes, until the portal has nothing more."""
    url, done = device.mdm["ServerURL"], {}
    identity = f"<key>UDID</key><string>{udid}</string>"
    status, answer = device.put(url, document(f"{identity}<key>Status</key><string>Idle</string>"))
    for _ in range(30):
        assert status == 200
        if not answer:
            return done
        command = plistlib.loads(answer)
        done[command["Command"]["RequestType"]] = command["CommandUUID"]
        words = f"{identity}<key>Status</key><string>Acknowledged</string><key>CommandUUID</key><string>{command['CommandUUID']}</string>"
        status, answer = device.put(url, document(words))
    raise AssertionError("the session never ended")


def told(portal: Portal, *arguments: str) -> Any:
    """What a command prints with --json."""
    return json.loads(portal.manage(*arguments, "--json"))


def status_of(portal: Portal, serial: str) -> dict[str, Any]:
    (device,) = told(portal, "status", serial)
    return device


def upload_push_certificate(portal: Portal, folder: Path) -> None:
    """A push certificate made by openssl; nothing is pushed with it here."""
    key, certificate = folder / "push.key", folder / "push.pem"
    tool(
        *(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "30",
        ),
        *("-subj", "/UID=com.apple.mgmt.External.0d8a5a2e-0000-4000-8000-000000000001/CN=APSP:example"),
    )
    portal.manage("upload_push_certificate", "--certificate", str(certificate), "--key", str(key))
