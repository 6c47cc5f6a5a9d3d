"""Keys that name another payload by its UUID: a Wi-Fi's certificate, an account's VPN.

A device looks for them in the profile at hand, so that a certificate in the requirement's profile is of no use to a
VPN in the capability's (Apple's CommonPayloadKeys, PayloadUUID). Which keys these are is in `profiles.overlay`.
"""

from collections.abc import Iterator, Mapping, Sequence

from profiles import overlay
from profiles.checks.contents import Item, text_of, walk
from profiles.checks.findings import Finding, Severity
from profiles.checks.keys import subject
from profiles.models import Part
from profiles.overlay import KeyOverlay
from protocol.schema import Catalogue, has_variable

_WORDS = {Part.REQUIREMENT: "the requirement's profile", Part.CAPABILITY: "the capability's profile"}
_OWN_UUID = "PayloadUUID"


def check_references(parts: Mapping[Part, Sequence[Item]], catalogue: Catalogue) -> Iterator[Finding]:
    """UUIDs that no payload has, that the wrong kind of payload has, or one in another profile."""
    everything = [(part, item) for part, items in parts.items() for item in items]
    for part, item in everything:
        keys = overlay.of(item.variant).keys
        for spot in walk(item):
            key = keys.get(spot.schema_path)
            if key is None or not key.reference or not isinstance(spot.value, str) or has_variable(spot.value):
                continue
            said = _judge(spot.value, key, part=part, everything=everything)
            if said is not None:
                about = subject(item, spot.path, catalogue)
                yield item.finding(said[0], f"{about} {said[1]}", path=spot.where)


def _judge(
    value: str, key: KeyOverlay, *, part: Part, everything: Sequence[tuple[Part, Item]]
) -> tuple[Severity, str] | None:
    named = [(there, item) for there, item in everything if _name(item, key.reference_key) == value.upper()]
    if not named or not value:
        kinds = " or ".join(dict.fromkeys(overlay.title_of(name) for name in key.reference))
        if key.reference_key != _OWN_UUID:
            return (
                Severity.WARNING,
                f"names a payload that is not in this bundle ({kinds}); another profile must bring it.",
            )
        return Severity.ERROR, f"names no payload of this bundle. It must be one of: {kinds}."
    here = [item for there, item in named if there == part or key.reference_key != _OWN_UUID]
    if not here:
        there, item = named[0]
        return Severity.ERROR, (
            f'names "{item.name}", which stands in {_WORDS.get(there, "another profile")}, while this payload stands in '
            f"{_WORDS.get(part, 'another')}: devices look only within one profile. Give both payloads the same role, or "
            "deliver everything in one profile."
        )
    if here[0].payload_type not in key.reference:
        return Severity.WARNING, f'names "{here[0].name}", which is not of a kind that can be used here.'
    return None


def _name(item: Item, reference_key: str) -> str:
    return (item.uuid if reference_key == _OWN_UUID else text_of(item.content, reference_key)).upper()
