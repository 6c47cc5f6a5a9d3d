"""A payload's content as a tree for people's eyes: what `profiles.keytable` calls a secret is replaced by dots.

For previews as XML; names of stored secrets stay. What devices get is `profiles.rendering`.
"""

from collections.abc import Mapping

from profiles.keytable import MASK, leaves
from protocol.plist import PlistValue
from protocol.schema import Catalogue


def masked(variant: str, content: Mapping[str, PlistValue], *, catalogue: Catalogue) -> dict[str, PlistValue]:
    """The content with literal secrets as dots, everything else as it is."""
    found = leaves(variant, content, catalogue=catalogue)
    hidden = {leaf.path for leaf in found if leaf.is_secret and leaf.text == MASK}
    return {name: _masked(value, name, hidden) for name, value in content.items()}


def _masked(value: PlistValue, path: str, hidden: set[str]) -> PlistValue:
    if path in hidden:
        return MASK
    if isinstance(value, dict):
        return {name: _masked(inner, f"{path}.{name}", hidden) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(item, f"{path}[{number}]", hidden) for number, item in enumerate(value)]
    return value
