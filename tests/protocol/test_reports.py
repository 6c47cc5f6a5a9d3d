"""Reports, read and written."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MessageError, PlistError, ProtocolError
from protocol.identity import EnrollmentIdentity, EnrollmentKind
from protocol.reports import ErrorChainItem, Status, parse_report, render_report

from .messages import VALUES, encoded

DEVICE = EnrollmentIdentity(EnrollmentKind.DEVICE, "AA", udid="AA")


def test_an_idle_report_has_no_command():
    report = parse_report(render_report(DEVICE, Status.IDLE))
    assert (report.identity, report.status, report.command_uuid, report.error_chain) == (DEVICE, Status.IDLE, None, ())


def test_response_keys_stand_in_the_body_and_the_bytes_are_kept():
    body = render_report(
        DEVICE, Status.ACKNOWLEDGED, command_uuid="c1", response={"SecurityInfo": {"PasscodePresent": True}}
    )
    report = parse_report(body)
    assert (report.status, report.command_uuid) == (Status.ACKNOWLEDGED, "c1")
    assert report.body["SecurityInfo"] == {"PasscodePresent": True}
    assert report.raw == body
    assert parse_report(encoded(plistlib.loads(body))[1]).body == report.body


def test_an_error_chain_prefers_english():
    chain = [
        {
            "ErrorCode": 12021,
            "ErrorDomain": "MCMDMErrorDomain",
            "LocalizedDescription": "Nein",
            "USEnglishDescription": "No",
        },
        {"ErrorCode": 1, "ErrorDomain": "D", "LocalizedDescription": "Nur hier"},
    ]
    report = parse_report(plistlib.dumps({"UDID": "AA", "Status": "Error", "CommandUUID": "c", "ErrorChain": chain}))
    assert report.error_chain == (
        ErrorChainItem(12021, "MCMDMErrorDomain", "No", "Nein"),
        ErrorChainItem(1, "D", "Nur hier", "Nur hier"),
    )


def test_an_error_chain_survives_both_ways():
    chain = (ErrorChainItem(12021, "MCMDMErrorDomain", "No", "Nein"), ErrorChainItem(1, "D", "x", "x"))
    assert parse_report(render_report(DEVICE, Status.ERROR, command_uuid="c", error_chain=chain)).error_chain == chain


@pytest.mark.parametrize("chain", ["x", 5, {"a": 1}, [1, "x", []], [{"ErrorCode": "x", "ErrorDomain": 5}]])
def test_a_chain_that_cannot_be_read_still_leaves_the_report(chain):
    report = parse_report(plistlib.dumps({"UDID": "AA", "Status": "Error", "ErrorChain": chain}))
    assert report.status is Status.ERROR
    assert report.error_chain in ((), (ErrorChainItem(0, "", ""),))


def test_a_word_that_apple_does_not_document_is_kept_as_text():
    report = parse_report(plistlib.dumps({"UDID": "AA", "Status": "Perhaps", "CommandUUID": "no uuid"}))
    assert (report.status, report.status_text, report.command_uuid) == (None, "Perhaps", "no uuid")


@pytest.mark.parametrize(
    "message", [{"UDID": "AA"}, {"Status": "Idle"}, {"UDID": "AA", "Status": 5}, {"UDID": 5, "Status": "Idle"}]
)
def test_a_report_without_identity_or_status_is_refused(message):
    with pytest.raises(MessageError):
        parse_report(plistlib.dumps(message))


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"\x00" * 40])
def test_a_body_that_is_no_plist_is_refused(body):
    with pytest.raises(PlistError):
        parse_report(body)


@given(st.dictionaries(st.sampled_from(["UDID", "Status", "CommandUUID", "ErrorChain", "UserID"]), VALUES))
@settings(max_examples=50)
def test_any_plist_is_a_report_or_refused(message):
    for body in encoded({"UDID": "AA", "Status": "Idle", **message}):
        with contextlib.suppress(ProtocolError):
            assert parse_report(body).raw == body


def test_secrets_of_a_report_stay_out_of_its_repr():
    body = plistlib.dumps({"UDID": "AA", "Status": "Acknowledged", "UnlockToken": b"topsecret"})
    assert "topsecret" not in repr(parse_report(body))
