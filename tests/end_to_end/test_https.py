"""The portal for real devices over HTTPS, by a certificate of its own authority: from the invitation to the VPN."""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.end_to_end.portal import ROOT, clean, eventually, free_port, running

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_clock]

FILES = ROOT / "mdmportal" / "demo"
BUNDLE = "VPN over HTTPS"
QUICK = {"PORTAL_GATE_FAST_INTERVAL": "2", "PORTAL_SWEEP_INTERVAL": "2"}


def simulator(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "simulator", *(str(word) for word in arguments)]


@contextmanager
def fleet(folder: Path, *arguments: object) -> Iterator[None]:
    with (folder / "fleet.log").open("wb") as log:
        process = subprocess.Popen(
            simulator("fleet", *arguments),
            cwd=ROOT,
            env=clean(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_devices_enroll_over_https_and_get_their_vpn(tmp_path):
    port, apns_port, apple = free_port(), free_port(), tmp_path / "apple"
    url = f"https://localhost:{port}"
    subprocess.run(simulator("apple", "--dir", apple), cwd=ROOT, check=True, capture_output=True)
    environment = {
        "PORTAL_TLS": "1",
        "PORTAL_URL": url,
        "PORTAL_LISTEN": f"127.0.0.1:{port}",
        "APNS_URL": f"https://localhost:{apns_port}",
        "APNS_CA_FILE": str(apple / "apns-ca.pem"),
        **QUICK,
    }
    with running(["up"], tmp_path / "portal", **environment) as portal:
        portal.wait_for("MDM Portal is up")
        # The root alone, as a device gets it; nobody who does not trust it gets an answer.
        chain = x509.load_pem_x509_certificates((tmp_path / "portal" / "tls" / "server.pem").read_bytes())
        root = tmp_path / "root.pem"
        root.write_bytes(chain[-1].public_bytes(Encoding.PEM))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(url, trust_env=False)
        context = ssl.create_default_context(cafile=str(root))
        assert httpx.get(f"{url}/admin/login/", verify=context, trust_env=False).status_code == 200

        certificate, key = apple / "push-certificate.pem", apple / "push-key.pem"
        portal.manage("upload_push_certificate", "--certificate", str(certificate), "--key", str(key))
        parts = [
            word for part in ("requirement", "capability") for word in (f"--{part}", f"{FILES / part}.mobileconfig")
        ]
        portal.manage("bundle", BUNDLE, *parts)
        portal.manage("publish", BUNDLE)
        portal.manage("assign", BUNDLE, "all")
        invitation = json.loads(portal.manage("invite", "--uses", "2", "--json"))
        assert invitation["profile_url"].startswith(f"{url}/enroll/")

        arguments = {
            "--url": invitation["profile_url"],
            "--devices": 2,
            "--apple": apple,
            "--apns-port": apns_port,
            "--trust": root,
            "--set-passcode-share": 1,
            "--passcode-delay": 1,
        }
        with fleet(tmp_path, *(word for pair in arguments.items() for word in pair)):

            def installed() -> bool:
                rows = json.loads(portal.manage("status", "--json"))
                parts = [(one["part"], one["state"]) for row in rows for one in row["installations"]]
                expected = [("capability", "installed"), ("requirement", "installed")] * 2
                return sorted(parts) == sorted(expected) and {row["state"] for row in rows} == {"enrolled"}

            eventually(installed)
