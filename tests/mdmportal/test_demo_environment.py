"""The demo's environment: a folder of its own, ports that are free and kept, and the caller's own wishes first."""

import json
import socket

import pytest

from mdmportal.demo import environment
from mdmportal.demo_data import MARKER


@pytest.fixture
def environ(tmp_path):
    return {"PORTAL_DATA_DIR": str(tmp_path / "demo")}


def test_it_has_a_marked_folder_plain_http_on_loopback_and_short_intervals(environ, tmp_path):
    environment.apply(environ, ["manage.py", "demo"])
    assert (tmp_path / "demo" / MARKER).exists()
    assert environ["PORTAL_URL"] == f"http://{environ['PORTAL_LISTEN']}"
    assert environ["PORTAL_LISTEN"].startswith("127.0.0.1:")
    assert int(environ["PORTAL_SWEEP_INTERVAL"]) < 15


def test_what_the_caller_sets_wins(environ):
    environ |= {"PORTAL_SWEEP_INTERVAL": "7", "PORTAL_TLS_CERT": "/x", "PORTAL_TLS_KEY_FILE": "/y"}
    environment.apply(environ, [])
    assert environ["PORTAL_SWEEP_INTERVAL"] == "7"
    assert not [name for name in environ if name.startswith("PORTAL_TLS_")]


def test_a_port_that_is_taken_is_passed_over_and_the_fleet_starts_anew(environ, tmp_path):
    environment.apply(environ, [])
    first = environ.pop("PORTAL_LISTEN")
    (tmp_path / "demo" / "fleet").mkdir()
    port = int(first.split(":")[1])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        environment.apply(environ, [])
    assert environ["PORTAL_LISTEN"] != first
    assert not (tmp_path / "demo" / "fleet").exists()


def test_ports_and_fleet_are_kept_between_runs(tmp_path, environ):
    environment.apply(environ, [])
    (tmp_path / "demo" / "fleet").mkdir()
    before = json.loads((tmp_path / "demo" / "demo.json").read_text())
    environment.apply({"PORTAL_DATA_DIR": environ["PORTAL_DATA_DIR"]}, [])
    assert json.loads((tmp_path / "demo" / "demo.json").read_text()) == before
    assert (tmp_path / "demo" / "fleet").exists()


def test_a_folder_that_no_demo_made_is_never_touched(tmp_path, environ):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "portal.sqlite3").touch()
    for arguments in ([], ["--fresh"]):
        with pytest.raises(SystemExit, match="not made by the demo"):
            environment.apply(dict(environ), arguments)
    assert (tmp_path / "demo" / "portal.sqlite3").exists()


def test_fresh_forgets_the_last_run(tmp_path, environ):
    environment.apply(environ, [])
    (tmp_path / "demo" / "portal.sqlite3").touch()
    environment.apply(environ, ["--fresh"])
    assert not (tmp_path / "demo" / "portal.sqlite3").exists()


def test_fresh_is_refused_for_a_database_elsewhere(tmp_path, environ):
    environment.apply(environ, [])
    (tmp_path / "demo" / "keys").mkdir()
    with pytest.raises(SystemExit, match="DATABASE_URL"):
        environment.apply({**environ, "DATABASE_URL": "postgres://db.example.com/portal"}, ["--fresh"])
    assert (tmp_path / "demo" / "keys").exists()


def test_other_commands_on_a_demos_folder_see_the_same_portal(environ):
    environment.apply(environ, [])
    other = {"PORTAL_DATA_DIR": environ["PORTAL_DATA_DIR"]}
    environment.attach(other)
    assert (other["PORTAL_DEMO"], other["PORTAL_URL"]) == ("1", environ["PORTAL_URL"])


def test_other_commands_on_another_folder_see_nothing_of_it(tmp_path):
    other = {"PORTAL_DATA_DIR": str(tmp_path)}
    environment.attach(other)
    assert other == {"PORTAL_DATA_DIR": str(tmp_path)}
