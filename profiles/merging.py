"""Two people's changes of one draft put together, key by key. Pure.

What only one of them changed is taken; what both changed in different ways is a conflict, decided by a person. Values
are compared as property lists (`profiles.differences.same`); secrets stay masked in what a conflict shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from profiles.differences import SETTING_TITLES, same, setting_text, title_of
from profiles.drafts import SETTINGS, Content, Draft, DraftPayload
from profiles.keytable import leaves
from protocol.plist import PlistValue
from protocol.schema import Catalogue, packaged


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing that both changed, each in another way. `key` names it in `choices`; the texts are for people."""

    key: str
    payload: str
    path: str
    title: str
    mine: str | None
    theirs: str | None


@dataclass(frozen=True, slots=True)
class Merge:
    """Both people's changes in one draft; where they conflict it holds what was chosen, mine unless told otherwise."""

    draft: Draft
    conflicts: list[Conflict]


def merge(
    base: Draft | None,
    mine: Draft,
    theirs: Draft,
    *,
    choices: Mapping[str, str] | None = None,
    catalogue: Catalogue | None = None,
) -> Merge:
    """What `mine` and `theirs` each made of `base`, together; `choices` says "mine" or "theirs" by a conflict's key.

    Without a base whatever differs is a conflict. Dictionaries merge key by key; a list is one value.
    """
    merger = _Merger(dict(choices or {}), catalogue or packaged(), [])
    return Merge(merger.draft(base, mine, theirs), merger.conflicts)


@dataclass(frozen=True, slots=True)
class _Merger:
    choices: Mapping[str, str]
    catalogue: Catalogue
    conflicts: list[Conflict]

    def draft(self, base: Draft | None, mine: Draft, theirs: Draft) -> Draft:
        settings: dict[str, str | int | bool] = {}
        for name in SETTINGS:
            values = [draft.settings.get(name) if draft else None for draft in (base, mine, theirs)]
            chosen = self._column(values, name, key=name, payload="", title=SETTING_TITLES[name])
            if isinstance(chosen, str | int):
                settings[name] = chosen
        sides = [
            {payload.identifier: payload for payload in draft.payloads} if draft else {}
            for draft in (base, mine, theirs)
        ]
        merged = {name: self._payload([side.get(name) for side in sides], name) for name in _merged_order(*sides)}
        original = theirs.original if base and mine.original == base.original else mine.original
        return Draft(settings, tuple(payload for payload in merged.values() if payload), original)

    def _payload(self, versions: list[DraftPayload | None], identifier: str) -> DraftPayload | None:
        base, mine, theirs = versions
        if mine is None or theirs is None:
            return self._gone(base, mine, theirs, identifier=identifier)
        columns = {}
        for name in ("name", "role"):
            values = [getattr(version, name) if version else None for version in versions]
            key = f"{identifier}:{name}"
            columns[name] = self._column(values, name, key=key, payload=title_of(mine), title=name.capitalize())
        content = self._dictionary([version.content if version else None for version in versions], mine, path=())
        return replace(mine, **columns, content=content)

    def _gone(
        self, base: DraftPayload | None, mine: DraftPayload | None, theirs: DraftPayload | None, *, identifier: str
    ) -> DraftPayload | None:
        """One of the two does not have it: new from the other, or removed here while the other left or changed it."""
        one = mine or theirs
        if one is None or base is None or one == base:
            return one if base is None else None
        mine_text, theirs_text = (None if version is None else "changed and kept" for version in (mine, theirs))
        side = self._choose(Conflict(identifier, title_of(one), "", "The whole payload", mine_text, theirs_text))
        return mine if side == "mine" else theirs

    def _dictionary(self, values: list[Content | None], payload: DraftPayload, *, path: tuple[str, ...]) -> Content:
        merged: Content = {}
        for name in dict.fromkeys([*(values[1] or {}), *(values[2] or {})]):
            inner = [value.get(name) if value is not None else None for value in values]
            chosen = self._value(inner, payload, path=(*path, name))
            if chosen is not None:
                merged[name] = chosen
        return merged

    def _value(
        self, values: list[PlistValue | None], payload: DraftPayload, *, path: tuple[str, ...]
    ) -> PlistValue | None:
        base, mine, theirs = values
        if isinstance(mine, dict) and isinstance(theirs, dict):
            return self._dictionary([base if isinstance(base, dict) else None, mine, theirs], payload, path=path)
        if same(mine, theirs) or same(theirs, base):
            return mine
        if same(mine, base):
            return theirs
        title, texts = self._words(payload, path, (mine, theirs))
        key = "/".join((payload.identifier, *path))
        side = self._choose(Conflict(key, title_of(payload), ".".join(path), title, *texts))
        return mine if side == "mine" else theirs

    def _column(self, values: Sequence[Any], name: str, *, key: str, payload: str, title: str) -> Any:
        base, mine, theirs = values
        if theirs in (mine, base):
            return mine
        if mine == base:
            return theirs
        texts = [None if value is None else setting_text(name, value) for value in (mine, theirs)]
        side = self._choose(Conflict(key, payload, name, title, texts[0], texts[1]))
        return mine if side == "mine" else theirs

    def _words(
        self, payload: DraftPayload, path: tuple[str, ...], values: Sequence[PlistValue | None]
    ) -> tuple[str, tuple[str | None, str | None]]:
        """Title and texts of a key's two values, masked as they are where the key stands."""
        tables = []
        for value in values:
            content: Content = {}
            if value is not None:
                for name in reversed(path):
                    content = {name: content or value}
            tables.append(list(leaves(payload.variant, content, catalogue=self.catalogue)))
        title = next((leaf.title for table in tables for leaf in table), path[-1])
        mine, theirs = ("; ".join(leaf.sentence for leaf in table) or None for table in tables)
        return title, (mine, theirs)

    def _choose(self, conflict: Conflict) -> str:
        self.conflicts.append(conflict)
        return "theirs" if self.choices.get(conflict.key) == "theirs" else "mine"


def _merged_order(base: Mapping[str, object], mine: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    """Identifiers in the order of whoever changed it, mine before theirs; what only one has comes at the end."""
    common = [name for name in base if name in mine and name in theirs]
    reordered = [name for name in mine if name in common] != common
    first, second = (mine, theirs) if reordered else (theirs, mine)
    return list(dict.fromkeys([*first, *second]))
