"""Which enrollment and channel a message comes from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MessageError
from protocol.identity import SHARED_IPAD_USER_ID, EnrollmentIdentity, EnrollmentKind, identify

KEYS = ["UDID", "EnrollmentID", "UserID", "EnrollmentUserID", "UserShortName", "UserLongName"]


def test_a_device_channel_is_known_by_its_udid():
    identity = identify({"UDID": " 00008020-000915083c80012e\n"})
    assert identity == EnrollmentIdentity(
        EnrollmentKind.DEVICE, "00008020-000915083C80012E", udid="00008020-000915083C80012E"
    )
    assert not identity.kind.is_user_channel


def test_a_mac_user_channel_hangs_below_its_device():
    identity = identify({"UDID": "aa", "UserID": "b-1", "UserShortName": "jo", "UserLongName": "Jo Doe"})
    assert (identity.kind, identity.enrollment_id, identity.parent_id) == (EnrollmentKind.USER, "AA:B-1", "AA")
    assert (identity.user_short_name, identity.user_long_name) == ("jo", "Jo Doe")
    assert identity.kind.is_user_channel


def test_shared_ipad_users_are_told_apart_by_their_short_names():
    ids = {
        identify({"UDID": "aa", "UserID": SHARED_IPAD_USER_ID.lower(), "UserShortName": name}).enrollment_id
        for name in ("jo@example.com", "Jo@example.com")
    }
    assert ids == {"AA:jo@example.com", "AA:Jo@example.com"}


@pytest.mark.parametrize("name", [None, "", 5, "x" * 256])
def test_a_shared_ipad_user_without_a_usable_short_name_is_refused(name):
    message = {"UDID": "aa", "UserID": SHARED_IPAD_USER_ID, "UserShortName": name}
    with pytest.raises(MessageError):
        identify(message)


def test_user_enrollment_is_known_by_its_enrollment_id():
    assert identify({"EnrollmentID": "e1"}) == EnrollmentIdentity(EnrollmentKind.USER_ENROLLMENT, "E1")
    user = identify({"EnrollmentID": "e1", "EnrollmentUserID": "u1"})
    assert (user.kind, user.enrollment_id, user.parent_id) == (EnrollmentKind.USER_ENROLLMENT_USER, "E1:U1", "E1")


@pytest.mark.parametrize("udid", ["", "  ", "a" * 65, "a\x00b", "ä", "ß", "\u0131", 5, b"aa", [], "aa:bb", "a\u2028"])
def test_an_unusable_udid_is_refused(udid):
    with pytest.raises(MessageError):
        identify({"UDID": udid})


def test_a_message_without_identity_is_refused():
    with pytest.raises(MessageError):
        identify({"UserID": "a"})


def test_an_unusable_user_id_never_passes_for_the_device_channel():
    with pytest.raises(MessageError):
        identify({"UDID": "aa", "UserID": 5})


@given(
    st.dictionaries(st.sampled_from(KEYS), st.none() | st.text(max_size=70) | st.integers() | st.binary(), max_size=6)
)
@settings(max_examples=50)
def test_any_message_is_identified_or_refused(message):
    try:
        identity = identify(message)
    except MessageError:
        return
    assert 0 < len(identity.enrollment_id) <= 64 + 1 + 255
    assert identity.kind.is_user_channel == (identity.parent_id is not None)
    assert identify(identity.keys()) == identity
