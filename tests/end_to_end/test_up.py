"""`manage.py up` with real processes: serves, restarts what dies, leaves no orphan, and refuses what would hurt."""

import json
import os
import signal
import ssl

import httpx
import pytest

from mdmportal.demo_data import MARKER
from tests.end_to_end.portal import Portal, clean, descendants, eventually, free_port, is_alive, running

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_clock]


def address(port, scheme="http", host="127.0.0.1"):
    return {"PORTAL_LISTEN": f"127.0.0.1:{port}", "PORTAL_URL": f"{scheme}://{host}:{port}"}


def status_of(url, **options):
    try:
        return httpx.get(url, timeout=10, **options).status_code
    except httpx.TransportError:
        return None


def test_it_serves_restarts_what_is_killed_and_leaves_nothing_behind(tmp_path, database_url):
    port = free_port()
    with running(["up"], tmp_path, DATABASE_URL=database_url, **address(port)) as portal:
        portal.wait_for("MDM Portal is up")
        login = f"http://127.0.0.1:{port}/admin/login/"
        assert status_of(login) == 200
        children = descendants(portal.process.pid)
        for name in ("mdmportal.web_server", "celery -A mdmportal --quiet worker", "celery -A mdmportal --quiet beat"):
            victim = min(pid for pid, command in children.items() if name in command)
            os.kill(victim, signal.SIGKILL)
            portal.wait_for("was killed by SIGKILL")
        eventually(lambda: status_of(login) == 200)
        before = descendants(portal.process.pid)
        assert portal.stop(signal.SIGINT) == 0
        eventually(lambda: not any(is_alive(pid) for pid in before), patience=20)


def test_no_process_outlives_a_killed_supervisor(tmp_path):
    with running(["up"], tmp_path, **address(free_port())) as portal:
        portal.wait_for("MDM Portal is up")
        children = descendants(portal.process.pid)
        assert len(children) >= 4
        portal.stop(signal.SIGKILL)
        eventually(lambda: not any(is_alive(pid) for pid in children), patience=30)


def test_a_second_portal_on_the_same_folder_is_refused(tmp_path):
    with running(["up"], tmp_path, **address(free_port())) as portal:
        portal.wait_for("MDM Portal is up")
        second = Portal(["up"], clean(tmp_path, **address(free_port())))
        second.wait_for("already", patience=60)
        assert second.stop() != 0


def test_it_serves_https_by_a_certificate_of_our_own_authority(tmp_path):
    port = free_port()
    with running(["up"], tmp_path, PORTAL_TLS="1", **address(port, "https", "localhost")) as portal:
        portal.wait_for("MDM Portal is up")
        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "server.pem"))
        assert status_of(f"https://localhost:{port}/admin/login/", verify=context) == 200
        assert (tmp_path / "tls" / "server.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "portal.sqlite3").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PORTAL_URL": "http://mdm.example.com"}, "portal.E004"),
        ({"PORTAL_ENCRYPTION_KEYS": "too short"}, "portal.E003"),
        ({"PORTAL_SWEEP_INTERVAL": "often"}, "portal.E001"),
        ({"DATABASE_URL": "mysql://db.example.com/portal"}, "portal.E001"),
    ],
)
def test_a_mistake_in_the_environment_is_told_before_anything_starts(tmp_path, environment, words):
    portal = Portal(["up"], clean(tmp_path, **environment))
    portal.wait_for(words, patience=60)
    assert portal.stop() != 0
    assert not (tmp_path / "portal.sqlite3").exists()


def test_a_demos_folder_is_refused(tmp_path):
    (tmp_path / MARKER).touch()
    portal = Portal(["up"], clean(tmp_path))
    portal.wait_for("portal.E002", patience=60)
    assert portal.stop() != 0


def test_an_administrator_is_made_with_a_password_that_works(tmp_path):
    port = free_port()
    with running(["up", "--json"], tmp_path, **address(port)) as portal:
        up = json.loads(portal.wait_for('"url"'))
        assert up == {"url": f"http://127.0.0.1:{port}/admin/", "has_administrator": False}
        said = dict(line.split(":", 1) for line in portal.manage("create_admin").splitlines())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=10) as client:
            client.get("/admin/login/")
            form = {
                "username": said["Name"].strip(),
                "password": said["Password"].strip(),
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
            }
            answer = client.post("/admin/login/?next=/admin/", data=form, headers={"Referer": str(client.base_url)})
            assert answer.url.path == "/admin/"
            assert answer.status_code == 200
