"""The commands import_profile, bundle, publish and assign: what they say, and that a mistake writes nothing."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from devices.models import DeviceGroup
from operations.models import AuditEvent
from profiles.models import Assignment, Bundle, DeliveryRule, Payload, Revision, Role
from protocol.cms import sign_attached
from tests.profiles.conftest import _authority_facts, signing  # noqa: F401 (fixtures)
from tests.profiles.fleet import NEEDED, PASSCODE, VPN, WIFI, mobileconfig, payload

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files that IT staff may have lying around."""
    contents = {
        "passcode": mobileconfig(payload(PASSCODE), name="Passcode"),
        "vpn": mobileconfig(payload(VPN, **NEEDED[VPN])),
    }
    for name, data in contents.items():
        (tmp_path / f"{name}.mobileconfig").write_bytes(data)
    return {name: str(tmp_path / f"{name}.mobileconfig") for name in contents}


def run(*arguments: str) -> dict[str, object]:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))


def nothing_was_written() -> bool:
    return not (Bundle.objects.exists() or Payload.objects.exists() or AuditEvent.objects.exists())


def test_import_profile_makes_a_bundle_called_as_the_file_calls_itself(files):
    answer = run("import_profile", files["passcode"])
    assert answer["bundle"] == "Passcode"
    assert [(item["payload_type"], item["role"]) for item in answer["payloads"]] == [(PASSCODE, "requirement")]
    assert actions() == ["bundle.create", "bundle.import"]
    assert AuditEvent.objects.first().actor_name == "command line"


def test_import_profile_takes_a_name_and_a_role(files):
    run("import_profile", files["passcode"], "--name", "Mine", "--role", "neutral")
    assert Payload.objects.get().role == Role.NEUTRAL
    assert Bundle.objects.get().name == "Mine"


def test_import_profile_into_makes_the_bundle_once_and_adds_to_it(files):
    run("import_profile", files["passcode"], "--into", "Ours")
    run("import_profile", files["vpn"], "--into", "Ours")
    run("import_profile", files["vpn"], "--into", "Ours")
    assert Bundle.objects.get().payloads.count() == 2


def damaged(kind: str) -> bytes:
    whole = mobileconfig(payload(WIFI))
    return {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "non-plist": b"MZ\x90\x00 something else",
        "deep": b'<?xml version="1.0"?><plist version="1.0">' + b"<array>" * 5000 + b"</array>" * 5000 + b"</plist>",
        "encrypted": whole.replace(b"<key>PayloadContent</key>", b"<key>IsEncrypted</key><true/><key>X</key>"),
        "enrollment": mobileconfig(payload("com.apple.mdm")),
        "no payloads": mobileconfig(),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "empty"),
        ("half", "part of one"),
        ("non-plist", "property list"),
        ("deep", "nested deeper"),
        ("encrypted", "encrypted"),
        ("enrollment", "invitation"),
        ("no payloads", "no payloads"),
    ],
)
def test_import_profile_says_what_is_wrong_with_a_file_and_writes_nothing(tmp_path, kind, words):
    file = tmp_path / "file.mobileconfig"
    file.write_bytes(damaged(kind))
    with pytest.raises(CommandError, match=words) as error:
        call_command("import_profile", str(file))
    assert "\n" not in str(error.value)
    assert nothing_was_written()


@pytest.fixture
def signed_file(tmp_path, signing) -> str:  # noqa: F811
    from certificates.authority import signer

    certificate, key, chain = signer(datetime(2026, 11, 23, 12, tzinfo=UTC))
    file = tmp_path / "signed.mobileconfig"
    file.write_bytes(sign_attached(mobileconfig(payload(WIFI)), certificate, private_key=key, chain=chain))
    return str(file)


def test_import_profile_names_who_signed_a_signed_file(signed_file):
    answer = run("import_profile", signed_file)
    assert answer["report"]["form"] == "cms"
    assert answer["report"]["signer"]["subject"].startswith("CN=")
    assert answer["report"]["signer"]["trusted"] is False
    assert Payload.objects.get().payload_type == WIFI


def test_import_profile_keeps_a_signed_file_byte_for_byte_when_told_to(signed_file):
    answer = run("import_profile", signed_file, "--exact", "--name", "As it is")
    assert bytes(Bundle.objects.get(name=answer["bundle"]).original) == Path(signed_file).read_bytes()
    assert not Payload.objects.exists()


def test_import_profile_refuses_an_unsigned_file_byte_for_byte(files):
    with pytest.raises(CommandError, match="Only a signed file"):
        call_command("import_profile", files["vpn"], "--exact")
    assert nothing_was_written()


def test_import_profile_only_reports_when_told_to(files):
    answer = run("import_profile", files["passcode"], "--check")
    assert (answer["bundle"], answer["report"]["summary"]) == (None, "1 payload, 0 keys known")
    assert nothing_was_written()


def test_import_profile_says_in_words_what_it_did(files):
    out = StringIO()
    call_command("import_profile", files["vpn"], stdout=out)
    assert out.getvalue().splitlines()[:2] == ["Example", "  1 payload, 8 keys known"]


def test_import_profile_says_that_a_file_is_not_there(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_profile", str(tmp_path / "nothing"))


def test_bundle_gives_each_file_its_role_and_keeps_the_rule(files):
    answer = run(
        "bundle", "VPN", "--requirement", files["passcode"], "--capability", files["vpn"], "--rule", "together"
    )
    assert (answer["rule"], answer["payloads"]) == ("together", 2)
    assert list(Payload.objects.values_list("payload_type", "role")) == [
        (PASSCODE, Role.REQUIREMENT),
        (VPN, Role.CAPABILITY),
    ]


def test_bundle_writes_nothing_when_one_of_its_files_is_bad(files, tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"{}")
    with pytest.raises(CommandError, match="JSON"):
        call_command("bundle", "VPN", "--requirement", files["passcode"], "--capability", str(bad))
    assert nothing_was_written()


def test_bundle_refuses_files_that_would_replace_each_other(files):
    with pytest.raises(CommandError, match="Two of the files"):
        call_command("bundle", "VPN", "--requirement", files["vpn"], "--capability", files["vpn"])
    assert nothing_was_written()


def test_bundle_refuses_a_name_that_is_taken(files):
    run("bundle", "VPN", "--requirement", files["passcode"])
    with pytest.raises(CommandError, match="already"):
        call_command("bundle", "VPN")
    assert Bundle.objects.count() == 1


@pytest.mark.usefixtures("signing")
def test_publish_makes_revisions_and_says_what_devices_will_hold(files):
    run("bundle", "VPN", "--requirement", files["passcode"], "--capability", files["vpn"])
    first = run("publish", "VPN")
    second = run("publish", "VPN")
    assert (first["revision"], second["revision"]) == (1, 2)
    assert first["profiles"] == second["profiles"]
    assert {profile["part"] for profile in first["profiles"]} == {"requirement", "capability"}
    assert actions()[-2:] == ["bundle.publish", "bundle.publish"]


def test_publish_says_why_it_cannot():
    Bundle.objects.create(name="Empty", identifier="x", created_at=datetime(2026, 11, 23, tzinfo=UTC))
    with pytest.raises(CommandError, match="has no payloads"):
        call_command("publish", "Empty")
    with pytest.raises(CommandError, match='There is no bundle "Nothing"'):
        call_command("publish", "Nothing")
    assert not Revision.objects.exists()


def test_assign_includes_excludes_and_removes(files):
    run("bundle", "VPN", "--requirement", files["passcode"], "--rule", DeliveryRule.TOGETHER)
    DeviceGroup.objects.get_or_create(name="all", defaults={"created_at": datetime(2026, 11, 23, tzinfo=UTC)})
    assert run("assign", "VPN", "all") == {"bundle": "VPN", "group": "all", "excluded": False, "removed": False}
    assert not Assignment.objects.get().excluded
    assert run("assign", "VPN", "all", "--exclude")["excluded"] is True
    assert Assignment.objects.get().excluded
    assert run("assign", "VPN", "all", "--remove")["removed"] is True
    assert not Assignment.objects.exists()
    assert actions()[-3:] == ["bundle.assign", "bundle.assign", "bundle.unassign"]
    with pytest.raises(CommandError, match="is not assigned"):
        call_command("assign", "VPN", "all", "--remove")


def test_assign_names_what_it_does_not_know(files):
    run("bundle", "VPN", "--requirement", files["passcode"])
    with pytest.raises(CommandError, match='There is no group "Nobody"'):
        call_command("assign", "VPN", "Nobody")
    with pytest.raises(CommandError, match='There is no bundle "Nothing"'):
        call_command("assign", "Nothing", "all")
