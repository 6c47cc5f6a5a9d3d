"""Which enrollment, and which of its channels, a message comes from.

Normalised here and nowhere else, so that one device has one key in every
table. Keys per channel: Apple's schema, mdm/checkin/tokenupdate.yaml. This
says who a message claims to be; that its certificate may is checked elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import MessageError
from protocol.plist import PlistValue

__all__ = ["SHARED_IPAD_USER_ID", "EnrollmentIdentity", "EnrollmentKind", "identify"]

# Every user of every Shared iPad sends this one, so only the short name tells them apart.
SHARED_IPAD_USER_ID = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"
_LONGEST_ID = 64
_LONGEST_SHORT_NAME = 255
# In a log these would begin lines that nobody wrote, and hide or turn round what follows.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class EnrollmentKind(StrEnum):
    """The five channels a message can come from."""

    DEVICE = "device"
    USER = "user"
    SHARED_IPAD_USER = "shared_ipad_user"
    USER_ENROLLMENT = "user_enrollment"
    USER_ENROLLMENT_USER = "user_enrollment_user"

    @property
    def is_user_channel(self) -> bool:
        """Whether the channel hangs below a device channel."""
        return self in {self.USER, self.SHARED_IPAD_USER, self.USER_ENROLLMENT_USER}


@dataclass(frozen=True, slots=True)
class EnrollmentIdentity:
    """Who sent a message. `enrollment_id` is the channel's key, `parent_id` its device channel's."""

    kind: EnrollmentKind
    enrollment_id: str
    parent_id: str | None = None
    udid: str | None = None
    user_id: str | None = None
    user_short_name: str | None = None
    user_long_name: str | None = None

    @property
    def device_id(self) -> str:
        """The key of the device channel, on whichever channel the message came."""
        return self.parent_id or self.enrollment_id

    def keys(self) -> dict[str, PlistValue]:
        """The identity keys a device puts into each message on this channel."""
        keys: dict[str, PlistValue] = {}
        if self.udid is not None:
            keys["UDID"] = self.udid
        else:
            keys["EnrollmentID"] = self.device_id
        if self.user_id is not None:
            keys["UserID" if self.udid is not None else "EnrollmentUserID"] = self.user_id
        if self.user_short_name is not None:
            keys["UserShortName"] = self.user_short_name
        if self.user_long_name is not None:
            keys["UserLongName"] = self.user_long_name
        return keys


def identify(message: Mapping[str, PlistValue]) -> EnrollmentIdentity:
    """Name the channel of a check-in message or report from its identity keys.

    UDIDs, EnrollmentIDs and UserIDs come out stripped and in upper case; the Shared iPad's short name
    stays as sent. Raises MessageError when no usable identity is in the message.
    """
    # Apple forbids UDID in User Enrollment and sends EnrollmentID only there; if both came, the UDID is the older key.
    if "UDID" in message:
        return _device_enrollment(message, _device_id(message, "UDID"))
    if "EnrollmentID" in message:
        return _user_enrollment(message, _device_id(message, "EnrollmentID"))
    raise MessageError("the message has neither UDID nor EnrollmentID")


def _device_enrollment(message: Mapping[str, PlistValue], udid: str) -> EnrollmentIdentity:
    user_id = _optional_id(message, "UserID")
    short_name = _name(message, "UserShortName")
    if user_id is None:
        return EnrollmentIdentity(EnrollmentKind.DEVICE, udid, udid=udid)
    kind, key = EnrollmentKind.USER, user_id
    if user_id == SHARED_IPAD_USER_ID:
        if short_name is None:
            raise MessageError("a Shared iPad's user channel sent no usable UserShortName")
        kind, key = EnrollmentKind.SHARED_IPAD_USER, short_name
    return EnrollmentIdentity(
        kind,
        f"{udid}:{key}",
        parent_id=udid,
        udid=udid,
        user_id=user_id,
        user_short_name=short_name,
        user_long_name=_name(message, "UserLongName"),
    )


def _user_enrollment(message: Mapping[str, PlistValue], enrollment_id: str) -> EnrollmentIdentity:
    user_id = _optional_id(message, "EnrollmentUserID")
    if user_id is None:
        return EnrollmentIdentity(EnrollmentKind.USER_ENROLLMENT, enrollment_id)
    return EnrollmentIdentity(
        EnrollmentKind.USER_ENROLLMENT_USER,
        f"{enrollment_id}:{user_id}",
        parent_id=enrollment_id,
        user_id=user_id,
        user_short_name=_name(message, "UserShortName"),
        user_long_name=_name(message, "UserLongName"),
    )


def _device_id(message: Mapping[str, PlistValue], key: str) -> str:
    identifier = _identifier(message, key)
    # A colon joins device and user in enrollment ids: inside either it could forge another user's key.
    if ":" in identifier:
        raise MessageError(f"{key} holds a colon")
    return identifier


def _optional_id(message: Mapping[str, PlistValue], key: str) -> str | None:
    return _identifier(message, key) if key in message else None


def _identifier(message: Mapping[str, PlistValue], key: str) -> str:
    value = message[key]
    if not isinstance(value, str):
        raise MessageError(f"{key} is no string")
    identifier = value.strip().upper()
    # The sent text is judged: upper() turns some letters beyond ASCII into ASCII ones.
    if not (value.isascii() and identifier.isprintable() and 0 < len(identifier) <= _LONGEST_ID):
        raise MessageError(f"{key} is empty, longer than {_LONGEST_ID} characters or not printable ASCII")
    return identifier


def _name(message: Mapping[str, PlistValue], key: str) -> str | None:
    """A person's name is decoration, except on Shared iPad: one of a wrong type or length, or with line breaks, is none."""
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_SHORT_NAME or _CONTROL.search(value):
        return None
    return value
