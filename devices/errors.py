"""What the use cases of this app refuse, and why.

DeviceError
 ├─ EnrollmentRefused    a check-in message that is not believed: HTTP 400, never 401 (Apple would unenroll the device)
 ├─ InvitationRefused    an invitation that cannot be made as asked
 ├─ GroupNotFound        no group has that name
 └─ CommandRefused       a command that this device cannot or must not get, in words for IT staff
"""


class DeviceError(Exception):
    """`reason` is a sentence without secrets: it is logged and shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EnrollmentRefused(DeviceError):  # noqa: N818 (says what happened in the words of the trade)
    """The message is not believed; nothing was changed."""


class InvitationRefused(DeviceError):  # noqa: N818
    """No invitation was made."""


class GroupNotFound(DeviceError):  # noqa: N818
    """No group has that name."""


class CommandRefused(DeviceError):  # noqa: N818
    """Nothing was queued."""
