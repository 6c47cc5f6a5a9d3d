"""What the use cases of this app refuse, and why. Errors of Apple's API are `provisioning.appstoreconnect`'s own.

ProvisioningError
 ├─ ProvisioningRefused   a file, or an act on a renewal, that cannot be taken as it is
 ├─ UnreadableProfile     a stored profile that is no longer believed (its root is not configured any more)
 └─ DeliveryError         a queued command whose profile is gone
"""


class ProvisioningError(Exception):
    """`reason` is a sentence without secrets: it is logged and shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProvisioningRefused(ProvisioningError):  # noqa: N818 (says what happened in the words of the trade)
    """Nothing was changed."""


class UnreadableProfile(ProvisioningError):  # noqa: N818 (a state of the file)
    """The file was believed when it was taken, and is not now."""


class DeliveryError(ProvisioningError):
    """The command cannot be rendered."""
