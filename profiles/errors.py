"""What the use cases of this app refuse, and why.

ProfilesError
 ├─ BundleNotFound   no bundle has that name
 ├─ ImportRefused    a configuration profile that must not become part of a bundle
 ├─ EditRefused      a change that a draft must not take
 ├─ DraftConflict    somebody else changed the draft in between; `version` is the draft's now
 ├─ PublishError     a bundle that cannot be published; `problems` says everything that is wrong at once
 ├─ DeliveryError    a stored command that cannot be turned into bytes
 │   └─ VariableError  a variable of a profile that cannot be filled in
 └─ SecretError      a secret that cannot be stored or must stay
"""

from collections.abc import Sequence


class ProfilesError(Exception):
    """str() is one or more sentences without secrets: it is logged and shown."""


class BundleNotFound(ProfilesError):  # noqa: N818
    """No bundle has that name."""


class ImportRefused(ProfilesError):  # noqa: N818 (says what happened in the words of the trade)
    """Nothing was imported."""


class EditRefused(ProfilesError):  # noqa: N818 (says what happened in the words of the trade)
    """The draft was not changed."""


class DraftConflict(ProfilesError):  # noqa: N818 (says what happened in the words of the trade)
    """Nothing was changed: the draft is another than the one that was looked at."""

    def __init__(self, version: int) -> None:
        super().__init__("Somebody else changed the draft in between. Look at it again.")
        self.version = version


class PublishError(ProfilesError):
    """Nothing was published."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


class DeliveryError(ProfilesError):
    """The command's content is gone or cannot be read."""


class VariableError(DeliveryError):
    """A variable has no value here, or one that does not fit."""


class SecretError(ProfilesError):
    """Nothing was stored, or nothing was deleted."""
