"""Whatever a payload holds, the checks answer with findings; and a file that is delivered as it is."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certificates.authority import signer
from certificates.models import CertificateAuthority
from profiles.checks import Finding, Severity, check_bundle
from profiles.importing import new_bundle
from profiles.models import Bundle, Part, Payload, Profile, Revision, Role
from protocol.cms import sign_attached
from protocol.plist import PlistValue, dumps
from protocol.schema import packaged
from tests.profiles.checking import errors, passcode
from tests.profiles.fleet import NUMBERS, bundle_of, mobileconfig

pytestmark = pytest.mark.django_db

TEXTS = st.one_of(
    st.sampled_from(["", "{{ device.name }}", "{{ secret.x }}", "{{ nothing }}", "{{", "UUID-1"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=12),
)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=8),
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 (plists have no zone)
)


def values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[PlistValue]:
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=8,
    )


@st.composite
def payloads(draw: st.DrawFn) -> tuple[str, dict[str, PlistValue]]:
    """A payload type of Apple's, its real keys with anything in them."""
    facts = draw(st.sampled_from(sorted(packaged().payloads.values(), key=lambda facts: facts.variant)))
    named = [key.name for key in facts.keys] + [inner.name for key in facts.keys for inner in key.subkeys]
    keys = st.one_of(st.sampled_from([*named, "Other"]), TEXTS) if named else TEXTS
    return facts.payload_type, draw(st.dictionaries(keys, values(keys), max_size=8))


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(payloads(), min_size=1, max_size=3))
def test_checks_never_raise_whatever_a_payload_holds(
    now: datetime, drawn: list[tuple[str, dict[str, PlistValue]]]
) -> None:
    bundle = new_bundle(f"Hostile {next(NUMBERS)}", now=now)
    for number, (payload_type, content) in enumerate(drawn):
        Payload.objects.create(
            bundle=bundle, position=number, role=list(Role)[number], name="x", payload_type=payload_type,
            payload_identifier=f"com.example.{number}", payload_uuid=f"UUID-{number}", content=dumps(content),
        )  # fmt: skip
    assert all(finding.sentence for finding in check_bundle(bundle, now=now))


@pytest.mark.parametrize("content", [b"", b"\x00", b"<plist", b"bplist00", dumps([1])])
def test_content_that_cannot_be_read_is_a_finding(now: datetime, content: bytes) -> None:
    bundle = bundle_of(passcode(), now=now)
    bundle.payloads.update(content=content)
    assert len(errors(bundle, now)) == 1


# --- files as they are ---------------------------------------------------------------------------------------------


def signed_file(now: datetime, **settings: object) -> bytes:
    certificate, private_key, chain = signer(now)
    return sign_attached(mobileconfig(passcode(**settings)), certificate, private_key=private_key, chain=chain)


def original(data: bytes, now: datetime) -> Bundle:
    bundle = new_bundle(f"As it is {next(NUMBERS)}", now=now)
    bundle.original = data
    bundle.save()
    return bundle


def severities(findings: list[Finding], words: str) -> list[Severity]:
    return [finding.severity for finding in findings if words in finding.sentence]


def test_who_signed_a_file_is_a_note(now: datetime, signing: CertificateAuthority) -> None:
    findings = check_bundle(original(signed_file(now), now), now=now)
    assert severities(findings, "is signed by") == [Severity.NOTE]
    assert severities(findings, "valid until") == []
    later = check_bundle(original(signed_file(now), now), now=now + timedelta(days=9999))
    assert severities(later, "valid until") == [Severity.NOTE]


def test_what_is_wrong_in_a_file_that_cannot_be_mended_is_a_warning(
    now: datetime, signing: CertificateAuthority
) -> None:
    findings = check_bundle(original(signed_file(now, minLength=99), now), now=now)
    assert severities(findings, "between 0 and 16") == [Severity.WARNING]


def test_variables_in_a_file_that_is_not_changed_are_a_warning(now: datetime, signing: CertificateAuthority) -> None:
    findings = check_bundle(original(signed_file(now, PayloadDescription="{{ device.name }}"), now), now=now)
    assert severities(findings, "nothing is filled in") == [Severity.WARNING]


def test_a_uuid_that_was_delivered_with_other_content_is_an_error(now: datetime, signing: CertificateAuthority) -> None:
    bundle, other = original(signed_file(now), now), signed_file(now, minLength=8)
    revision = Revision.objects.create(bundle=bundle, number=1, delivery_rule="together", published_at=now)
    profile = Profile.objects.create(
        revision=revision, part=Part.WHOLE, identifier="com.example.profile", display_name="x", content=b"",
        uuid="11111111-2222-3333-4444-555555555555", signed=bundle.original,
    )  # fmt: skip
    assert severities(check_bundle(bundle, now=now), "with other content") == []
    profile.signed = other
    profile.save()
    assert severities(check_bundle(bundle, now=now), "with other content") == [Severity.ERROR]


def test_a_file_without_a_signature_or_sense_is_an_error(now: datetime) -> None:
    assert severities(check_bundle(original(mobileconfig(passcode()), now), now=now), "not signed") == [Severity.ERROR]
    assert [finding.severity for finding in check_bundle(original(b"<html>", now), now=now)] == [Severity.ERROR]
