"""Each mistake in the configuration has an id, and `.env.example` names every variable."""

import re
from pathlib import Path

import pytest
from django.core.checks import run_checks

from mdmportal import demo_data
from mdmportal.environment import Mistake, listen_address, portal_url

ROOT = Path(__file__).resolve().parents[2]


def ids():
    return [message.id for message in run_checks() if message.id.startswith("portal.")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"PORTAL_ENCRYPTION_KEYS": ()}, "portal.E003"),
        ({"PORTAL_ENCRYPTION_KEYS": ("short",)}, "portal.E003"),
        ({"PORTAL_URL": "http://mdm.example.com"}, "portal.E004"),
        ({"PORTAL_TLS_CERT": __file__}, "portal.E005"),
        ({"PORTAL_TLS_KEY": __file__, "PORTAL_TLS_CERT": "/nonexistent"}, "portal.E005"),
        ({"APNS_CA_FILE": "/nonexistent"}, "portal.E006"),
        ({"ALERT_WEBHOOK_URL": "https://alerts.example.com"}, "portal.E007"),
    ],
)
def test_a_mistake_is_found(settings, changes, expected):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert ids() == [expected]


@pytest.mark.parametrize(
    "changes",
    [
        {"PORTAL_URL": "http://127.0.0.5:8000"},
        {"PORTAL_URL": "http://[::1]:8000"},
        {"PORTAL_URL": "http://localhost"},
        {"PORTAL_URL": "https://mdm.example.com"},
        {"PORTAL_TLS_CERT": __file__, "PORTAL_TLS_KEY": __file__},
    ],
)
def test_what_is_right_is_left_alone(settings, changes):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert ids() == []


def test_a_mistake_of_the_environment_is_reported_by_name(settings, monkeypatch):
    monkeypatch.setattr(settings.ENVIRONMENT, "mistakes", [Mistake("PORTAL_RETRY_CEILING", "expected a number")])
    messages = [message for message in run_checks() if message.id == "portal.E001"]
    assert "PORTAL_RETRY_CEILING" in messages[0].msg


def test_a_demos_folder_is_refused_unless_it_is_the_demo(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    (tmp_path / demo_data.MARKER).touch()
    assert ids() == ["portal.E002"]
    settings.DEMO = True
    assert ids() == []


def test_the_example_names_every_variable_and_no_other(settings):
    example = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    assert example == settings.ENVIRONMENT.names


@pytest.mark.parametrize("text", ["https://mdm.example.com", "http://127.0.0.1:8000", "https://[::1]:8443/"])
def test_an_address_of_the_portal_is_taken(text):
    assert portal_url(text) == text.rstrip("/")


@pytest.mark.parametrize(
    "text", ["mdm.example.com", "ftp://x", "https://", "https://x/path", "https://x:no", "https://[::1", "https://u@x"]
)
def test_what_is_no_address_of_the_portal_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 (urllib's own sentences)
        portal_url(text)


def test_listening_addresses():
    assert listen_address("8000") == ("127.0.0.1", 8000)
    assert listen_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert listen_address("[::1]:80") == ("::1", 80)
    for text in ("", "x", "1:70000", "http://x:80"):
        with pytest.raises(ValueError):  # noqa: PT011
            listen_address(text)
