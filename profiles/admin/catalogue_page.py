"""Choosing what to add to a bundle: every payload type of Apple's schema by its plain name, grouped by topic.

Search and platform are a plain GET form; the script of the page only filters while somebody types.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse

from portal_ui.admin import ModelAdmin
from profiles import catalogue, overlay
from profiles.admin.frame import get_bundle, render
from profiles.importing import default_role
from profiles.models import Payload
from protocol.schema import PLATFORMS, Catalogue, KeyFacts, PayloadFacts

# The order of the headings; whatever topic is not named here follows.
TOPICS = ("Security", "Restrictions", "Network", "Certificates", "Accounts", "Apps", "System", "Other")
RECENT = 6
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One type on the page; `words` is what a search looks through, in lower case."""

    variant: str
    payload_type: str
    title: str
    summary: str
    topic: str
    role: str
    platforms: tuple[tuple[str, str], ...]
    supervised: bool
    deprecated: bool
    words: str


def catalogue_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET: all types, or those that ?q= and ?platform= leave."""
    bundle = get_bundle(admin, request, pk)
    query, platform = request.GET.get("q", "").strip()[:100], request.GET.get("platform", "")
    every = entries(catalogue.current())
    shown = [entry for entry in every.values() if _fits(entry, query=query.lower(), platform=platform)]
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(shown, key=lambda entry: entry.title.lower()):
        groups.setdefault(entry.topic, []).append(entry)
    recent = [] if query or platform else [every[variant] for variant in _recent() if variant in every]
    context: dict[str, Any] = {
        "groups": [
            (topic, groups[topic]) for topic in (*TOPICS, *sorted(groups.keys() - set(TOPICS))) if topic in groups
        ],
        "recent": recent,
        "total": len(every),
        "shown": len(shown),
        "query": query,
        "platform": platform,
        "platforms": PLATFORMS,
    }
    return render(admin, request, "catalogue.html", bundle=bundle, title="Add a payload", **context)


@lru_cache(maxsize=2)
def entries(schema: Catalogue) -> Mapping[str, Entry]:
    """Every type that a bundle may hold, by variant; made once for each release of the schema."""
    return {
        variant: _entry(variant, facts)
        for variant, facts in schema.payloads.items()
        if facts.payload_type != "com.apple.mdm"
    }


def _entry(variant: str, facts: PayloadFacts) -> Entry:
    said = overlay.of(variant)
    title = overlay.title_of(variant)
    platforms = tuple((name, facts.platforms[name].introduced) for name in PLATFORMS if name in facts.platforms)
    keys = " ".join(dict.fromkeys(_key_names(facts.keys, depth=_DEPTH)))
    return Entry(
        variant=variant,
        payload_type=facts.payload_type,
        title=title,
        summary=said.summary,
        topic=said.topic or "Other",
        role=default_role(facts.payload_type),
        platforms=platforms,
        supervised=bool(platforms) and all(each.supervised for each in facts.platforms.values()),
        deprecated=bool(platforms) and all(each.deprecated or each.removed for each in facts.platforms.values()),
        words=f"{title} {said.summary} {variant} {keys}".lower(),
    )


def _key_names(keys: Iterable[KeyFacts], *, depth: int) -> Iterable[str]:
    """Names of keys, down to a depth at which the schema's two recursive files stop."""
    for key in keys:
        if key.type != "any" and key.name != "ANY":
            yield key.name
        if depth > 1:
            yield from _key_names(key.subkeys, depth=depth - 1)


def _fits(entry: Entry, *, query: str, platform: str) -> bool:
    if platform in PLATFORMS and platform not in dict(entry.platforms):
        return False
    return all(word in entry.words for word in query.split())


def _recent() -> list[str]:
    """The variants that were added last, anywhere, the newest first."""
    added = Payload.objects.exclude(variant="").order_by("-pk").values_list("variant", flat=True)[:50]
    return list(dict.fromkeys(added))[:RECENT]
