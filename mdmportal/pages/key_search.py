"""Which payload has a key of that name, and which bundle uses the payload: answers for the search.

The words are Apple's key names and our own labels; what is set in a payload is not searched, for it may be secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from profiles import catalogue, overlay
from profiles.models import Payload
from protocol.schema import Catalogue, KeyFacts

_DEPTH = 2
# One letter is in every key.
SHORTEST = 2


@dataclass(frozen=True, slots=True)
class Named:
    """A payload type, or a key of one, as the search shows it; `words` is in lower case."""

    label: str
    payload: str
    payload_type: str
    words: str
    is_key: bool


@dataclass(frozen=True, slots=True)
class Used:
    """A name that was found, and a bundle that has the payload (None: no bundle yet)."""

    named: Named
    bundle: tuple[int, str] | None


def find(words: str, *, limit: int) -> list[Used]:
    """The first `limit` payload types and keys with these words, payloads first; two statements."""
    if len(words) < SHORTEST:
        return []
    wanted = words.lower()
    found = [named for named in _names(catalogue.current()) if wanted in named.words][:limit]
    rows = Payload.objects.filter(payload_type__in={named.payload_type for named in found}).order_by("-bundle", "pk")
    users = {kind: (pk, name) for kind, pk, name in rows.values_list("payload_type", "bundle_id", "bundle__name")}
    return [Used(named, users.get(named.payload_type)) for named in found]


@lru_cache(maxsize=2)
def _names(facts: Catalogue) -> list[Named]:
    payloads = [
        Named(title, title, one.payload_type, f"{title} {one.payload_type}".lower(), is_key=False)
        for one in facts.payloads.values()
        for title in [overlay.title_of(one.variant)]
    ]
    keys = [
        Named(shown, overlay.title_of(one.variant), one.payload_type, shown.lower(), is_key=True)
        for one in facts.payloads.values()
        for path, name in _paths(one.keys, "", _DEPTH)
        for shown in [f"{overlay.label(one.variant, path, facts)} ({name})"]
    ]
    return payloads + keys


def _paths(keys: tuple[KeyFacts, ...], stem: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every key down to `depth` levels of dictionaries: its path in the schema and its name."""
    for key in keys:
        path = f"{stem}{key.name}"
        yield path, key.name
        if key.type == "dictionary" and not key.is_open and depth > 1:
            yield from _paths(key.subkeys, f"{path}.", depth - 1)
