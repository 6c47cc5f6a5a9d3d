"""The fake App Store Connect: it must refuse what Apple refuses, or tests against it prove nothing."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from protocol.mobileprovision import APPLE_ROOTS, ProvisioningProfile, read_provisioning_profile
from simulator import appstoreconnect_state as state
from simulator.__main__ import main
from simulator.appstoreconnect_faults import ALTERATIONS, NAMES, ApiError
from simulator.errors import SimulatorError, StateError
from tests.provisioning.apple import BUNDLE, Clock, FakeApple


@pytest.fixture
def apple(now: datetime) -> Iterator[FakeApple]:
    made = FakeApple(Clock(now))
    with made.server:
        yield made


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def token(apple: FakeApple, *, der: bool = False, signer: Any = None, **changed: Any) -> str:
    """A token as Apple wants it, with some of its values changed (None leaves one out)."""
    now = int(apple.clock.now.timestamp())
    header = {"alg": "ES256", "kid": apple.key.key_id, "typ": "JWT"}
    claims = {"iss": apple.key.issuer_id, "iat": now - 60, "exp": now + 1000, "aud": "apple-developer-enterprise-v1"}
    for name, value in changed.items():
        (header if name in header else claims)[name] = value
    signed = ".".join(part({k: v for k, v in one.items() if v is not None}) for one in (header, claims))
    signature = (signer or apple.key.private_key).sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    if not der:
        signature = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def get(apple: FakeApple, path: str = "/profiles", *, bearer: str = "", **headers: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {bearer or token(apple)}", **headers}
    return httpx.get(f"{apple.server.url()}/v1{path}", headers=headers, trust_env=False)


def post(apple: FakeApple, **changed: Any) -> httpx.Response:
    data = {
        "type": "profiles",
        "attributes": {"name": "new", "profileType": "IOS_APP_INHOUSE"} | changed.get("attributes", {}),
        "relationships": {
            "bundleId": {"data": {"type": "bundleIds", "id": apple.bundle_id.id}},
            "certificates": {"data": [{"type": "certificates", "id": apple.certificate.id}]},
        }
        | changed.get("relationships", {}),
    }
    return httpx.post(
        f"{apple.server.url()}/v1/profiles",
        json={"data": data},
        headers={"Authorization": f"Bearer {token(apple)}"},
        trust_env=False,
    )


def code(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.json()['errors'][0]['code']}"


def read(content: bytes | None, apple: FakeApple) -> ProvisioningProfile:
    roots = APPLE_ROOTS.with_certificates([apple.api.authority.root.certificate])
    return read_provisioning_profile(content or b"", roots=roots)


def test_a_right_token_is_accepted(apple: FakeApple) -> None:
    answer = get(apple)
    assert answer.status_code == 200
    assert answer.headers["X-Rate-Limit"] == "user-hour-lim:3600;user-hour-rem:3599;"
    assert answer.headers["Date"] == "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    "wrong",
    [
        {"alg": "none"},
        {"kid": "UNKNOWN000"},
        {"kid": None},
        {"typ": "JOSE"},
        {"iss": None},
        {"iss": "69a6de7e-0000-47e3-e053-5b8c7c11a4d1"},
        {"aud": "appstoreconnect-v1"},
        {"aud": ["apple-developer-enterprise-v1"]},
        {"iat": 10**10, "exp": 10**10 + 1000},
        {"exp": 10**10},
        {"exp": 1},
        {"exp": "soon"},
        {"der": True},
        {"signer": ec.generate_private_key(ec.SECP256R1())},
    ],
)
def test_a_wrong_token_is_refused(apple: FakeApple, wrong: dict[str, Any]) -> None:
    assert code(get(apple, bearer=token(apple, **wrong))) == "401 NOT_AUTHORIZED"


@pytest.mark.parametrize("junk", ["x", "a.b", "a.b.c", "....", f"{part([])}.{part({})}.AAAA"])
def test_junk_is_no_token(apple: FakeApple, junk: str) -> None:
    assert code(get(apple, bearer=junk)) == "401 NOT_AUTHORIZED"


def test_a_revoked_key_is_refused(apple: FakeApple) -> None:
    apple.key.is_revoked = True
    assert get(apple).status_code == 401


def test_other_media_types_are_refused(apple: FakeApple) -> None:
    assert get(apple, Accept="text/html").text == "Not Acceptable"
    answer = httpx.post(
        f"{apple.server.url()}/v1/profiles",
        content=b"{}",
        headers={"Authorization": f"Bearer {token(apple)}", "Content-Type": "text/plain"},
        trust_env=False,
    )
    assert answer.status_code == 415


def test_the_rate_limit_runs_out_and_comes_back(apple: FakeApple) -> None:
    apple.api.rate_limit = 2
    assert [get(apple).status_code for _ in range(3)] == [200, 200, 429]
    apple.clock.forward(hours=1)
    assert get(apple).status_code == 200


def test_a_name_is_taken_even_by_an_expired_profile_that_is_hidden(apple: FakeApple) -> None:
    apple.clock.forward(days=100)
    assert get(apple).json()["data"] == []
    assert len(get(apple, f"/bundleIds/{apple.bundle_id.id}/profiles").json()["data"]) == 1
    answer = post(apple, attributes={"name": apple.old.name})
    assert code(answer) == "409 ENTITY_ERROR"
    assert "Multiple profiles found with the name" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"attributes": {"templateName": "x"}}, "409 ENTITY_ERROR.ATTRIBUTE.UNKNOWN"),
        ({"attributes": {"name": "a*b"}}, "409 ENTITY_ERROR.ATTRIBUTE.INVALID"),
        ({"attributes": {"name": "x" * 51}}, "500 UNEXPECTED_ERROR"),
        ({"attributes": {"profileType": "IOS_APP_STORE"}}, "409 ENTITY_ERROR.ATTRIBUTE.INVALID"),
        ({"attributes": {"profileType": "IOS_APP_ADHOC"}}, "409 ENTITY_ERROR.RELATIONSHIP.REQUIRED"),
        ({"relationships": {"bundleId": {"data": {"type": "bundleIds", "id": BUNDLE}}}}, "409 ENTITY_ERROR"),
        ({"relationships": {"certificates": {"data": []}}}, "409 ENTITY_ERROR.RELATIONSHIP.REQUIRED"),
        (
            {"relationships": {"certificates": {"data": [{"type": "certificates", "id": "X"}]}}},
            "409 ENTITY_ERROR.RELATIONSHIP.INVALID",
        ),
        ({"relationships": {"certificates": {"data": [3]}}}, "422 ENTITY_UNPROCESSABLE"),
        (
            {"relationships": {"devices": {"data": [{"type": "devices", "id": "X"}]}}},
            "409 ENTITY_ERROR.RELATIONSHIP.INVALID",
        ),
    ],
)
def test_what_breaks_apples_rules_is_not_made(apple: FakeApple, changed: dict[str, Any], expected: str) -> None:
    if "devices" in changed.get("relationships", {}):
        changed = {**changed, "attributes": {"profileType": "IOS_APP_ADHOC"}}
    assert code(post(apple, **changed)) == expected
    assert apple.api.created == []


def test_an_in_house_profile_takes_no_devices(apple: FakeApple) -> None:
    device = apple.team.add_device("00008110-000A1B2C3D4E5F60")
    answer = post(apple, relationships={"devices": {"data": [{"type": "devices", "id": device.id}]}})
    assert code(answer) == "409 ENTITY_ERROR.RELATIONSHIP.NOT_ALLOWED"


def test_a_new_profile_is_signed_and_holds_what_was_asked_for(apple: FakeApple) -> None:
    attributes = post(apple).json()["data"]["attributes"]
    file = read(base64.b64decode(attributes["profileContent"]), apple)
    assert (file.uuid, file.name) == (attributes["uuid"], "new")
    assert file.application_identifier == f"AB12CD34EF.{BUNDLE}"
    assert file.entitlements["aps-environment"] == "production"
    assert file.expires_at == apple.clock.now + timedelta(days=365)
    assert attributes["expirationDate"] == "2027-11-23T12:00:00.000+0000"


def test_a_profile_ends_with_its_certificate(apple: FakeApple) -> None:
    end = apple.certificate.issued.certificate.not_valid_after_utc
    apple.clock.now = end - timedelta(days=100)
    assert apple.create("short").expires_at == end
    apple.clock.now = end
    with pytest.raises(ApiError):
        apple.create("too late")


def test_revoking_a_certificate_takes_its_profiles_along(apple: FakeApple) -> None:
    apple.team.revoke_certificate(apple.certificate.id)
    attributes = get(apple).json()["data"][0]["attributes"]
    assert (attributes["profileState"], attributes["profileContent"]) == ("INVALID", None)


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_what_is_made_can_be_another_than_what_was_asked_for(apple: FakeApple, alteration: str) -> None:
    apple.server.fail_next("POST", "/profiles", alteration)
    post(apple)
    (made,) = apple.api.created
    if alteration in {"invalid", "no_content"}:
        assert made.content is None
        return
    file = read(made.content, apple)
    differences = {
        "dropped_entitlement": "aps-environment" not in file.entitlements,
        "other_certificate": file.certificates[0].der != apple.certificate.issued.der,
        "other_app_id": file.application_identifier != f"AB12CD34EF.{BUNDLE}",
        "renamed": file.name != "new",
        "no_der_form": not file.has_der_form,
        "short": file.expires_at < apple.clock.now + timedelta(days=5),
    }
    assert [name for name, is_so in differences.items() if is_so] == [alteration]


def test_a_foreign_profile_can_come_first_under_the_name(apple: FakeApple) -> None:
    apple.server.fail_next("POST", "/profiles", "foreign_name")
    assert code(post(apple)) == "409 ENTITY_ERROR"
    assert apple.api.created == []
    (foreign,) = apple.team.profiles_named("new")
    assert foreign.bundle_id_id != apple.bundle_id.id


def test_500_after_creating_has_created(apple: FakeApple) -> None:
    apple.server.fail_next("POST", "/profiles", "server_error_after")
    assert post(apple).status_code == 500
    assert [one.name for one in apple.api.created] == ["new"]


def test_faults_are_scripted_over_http_and_used_up(apple: FakeApple) -> None:
    control = f"http://127.0.0.1:{apple.server.port}/_control"
    fault = {"method": "GET", "path": "/profiles", "fault": "agreement", "times": 2}
    assert httpx.post(f"{control}/fail", json=fault, trust_env=False).json()["faults"] == ["2 x agreement"]
    assert [get(apple).status_code for _ in range(3)] == [403, 403, 200]
    httpx.post(f"{control}/lifetime", json={"seconds": 600}, trust_env=False)
    post(apple)
    shown = httpx.get(f"{control}/state", trust_env=False).json()
    assert (shown["requests"], shown["created"]) == ({"GET /profiles": 3, "POST /profiles": 1}, ["new"])
    assert shown["profiles"][-1]["expires"] == (apple.clock.now + timedelta(minutes=10)).isoformat()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("fail", {"method": "GET", "path": "/", "fault": "no such"}),
        ("fail", {}),
        ("fail", []),
        ("lifetime", {"seconds": 0}),
        ("lifetime", {"seconds": "x"}),
        ("other", {}),
    ],
)
def test_nonsense_at_the_control_address_is_refused(apple: FakeApple, path: str, body: object) -> None:
    answer = httpx.post(f"http://127.0.0.1:{apple.server.port}/_control/{path}", json=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_an_unknown_fault_is_named_with_the_known_ones(apple: FakeApple) -> None:
    with pytest.raises(SimulatorError, match="dropped_entitlement"):
        apple.server.fail_next("GET", "/", "typo")
    assert "agreement" in NAMES


def test_the_folder_survives_a_restart(tmp_path: Path, now: datetime) -> None:
    first = state.open_folder(tmp_path, lambda: now, bundle_ids=["com.example.one", "com.example.*"])
    (team,) = first.teams.values()
    state.save(tmp_path, first)
    second = state.open_folder(tmp_path, lambda: now, lifetime=timedelta(minutes=5))
    (again,) = second.teams.values()
    assert again.lifetime == timedelta(minutes=5)
    assert (again.profiles, again.bundle_ids, again.devices) == (team.profiles, team.bundle_ids, team.devices)
    assert {key.pem for key in again.keys.values()} == {key.pem for key in team.keys.values()}
    assert second.authority.root.der == first.authority.root.der
    facts = json.loads((tmp_path / "team.json").read_text())
    assert (tmp_path / facts["key_file"]).read_bytes() == team.keys[facts["key_id"]].pem
    assert (tmp_path / "appstoreconnect.plist").stat().st_mode & 0o077 == 0
    (tmp_path / "appstoreconnect.plist").write_bytes(b"<plist><dict/></plist>")
    with pytest.raises(StateError):
        state.open_folder(tmp_path, lambda: now)


def test_the_command_fills_its_folder(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path / "asc"), "--prepare", "--lifetime", "600", "--program", "developer"]
    assert main(["appstoreconnect", *arguments]) == 0
    assert (tmp_path / "asc" / "com.example.pos.mobileprovision").is_file()
    assert (tmp_path / "asc" / "provisioning-roots.pem").read_text().count("BEGIN CERTIFICATE") == 2
