"""Reading a device's ErrorChain: is it worth another try, and how to say it to IT staff.

Codes after Apple's retired "MDM Protocol Reference", error codes; Apple may change them between releases, so an
unknown one counts as temporary. Nothing is stored or scheduled here.
"""

from collections.abc import Sequence

from protocol.reports import ErrorChainItem

# Sending the same bytes again cannot help: a human must change the profile, the device or the enrollment first.
_PERMANENT = {
    "MCProfileErrorDomain": {1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1010},
    "MCPayloadErrorDomain": {2000, 2001, 2002, 2003, 2004, 2005},
    "MCInstallationErrorDomain": {
        4000, 4002, 4006, 4007, 4008, 4010, 4015, 4017, 4018, 4019, 4022, 4023, 4025, 4026, 4028, 4029, 4030, 4031,
    },
    "MCCertificateErrorDomain": {9000, 9001},
    "MCMDMErrorDomain": {12000, 12007, 12008, 12009, 12012, 12013, 12021},
    "MCVPNErrorDomain": {15002, 15003, 15005},
    "MCChaperoneErrorDomain": {29000},
}  # fmt: skip
_NOT_INSTALLED = ("MCMDMErrorDomain", 12075)


def is_permanent(chain: Sequence[ErrorChainItem]) -> bool:
    """Whether any cause says that the same command can never succeed."""
    return any(item.code in _PERMANENT.get(item.domain, ()) for item in chain)


def is_not_installed(chain: Sequence[ErrorChainItem]) -> bool:
    """Whether a RemoveProfile failed only because there was nothing to remove."""
    return any((item.domain, item.code) == _NOT_INSTALLED for item in chain)


def in_words(chain: Sequence[ErrorChainItem]) -> str:
    """One line: Apple's own sentence and the innermost code, at most 200 characters."""
    if not chain:
        return "the device gave no reason"
    said = next((item.description for item in chain if item.description.strip()), "no description")
    # A device's text is shown to people: nothing in it may break out of its line.
    sentence = " ".join("".join(letter if letter.isprintable() else " " for letter in said[:500]).split())
    code = f" ({chain[-1].domain[:60]} {chain[-1].code})"
    return sentence[: 200 - len(code)] + code


def as_json(chain: Sequence[ErrorChainItem]) -> list[dict[str, object]]:
    """The chain as it is stored beside a ladder row."""
    return [{"code": item.code, "domain": item.domain, "description": item.description} for item in chain]
