"""Newer releases of Apple's schema, loaded at run time: read, compared, and counted only once somebody says so.

Reading files is `protocol.schema`; which release counts is `profiles.catalogue`. A release brings Apple's own titles
and help texts along, which the package leaves out.
"""

import gzip
import json
from collections.abc import Mapping
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from operations import audit
from operations.audit import Actor
from profiles import catalogue
from profiles.models import SchemaRelease
from protocol.errors import SchemaError
from protocol.schema import Catalogue
from protocol.schema.compile import compile_schema, compile_texts
from protocol.schema.differences import SchemaChange, compare

# A page and a row stay readable; the count says how many there are.
_MOST_CHANGES = 2_000
_KINDS = ("added", "removed", "changed")


def load(files: Mapping[str, bytes], *, name: str, actor: Actor, now: datetime) -> SchemaRelease:
    """Keep a release beside the one that counts, with what it would change. Raises SchemaError; nothing is kept then.

    `files` are YAML files by path ("mdm/profiles/….yaml"). Without a name it is called after the systems it speaks of.
    """
    facts = compile_schema(files)
    loaded = Catalogue(facts)
    _try_out(loaded)
    title = name.strip() or ", ".join(f"{platform} {version}" for platform, version in loaded.newest.items())
    by = actor.pk if isinstance(actor, AbstractBaseUser) else None
    with transaction.atomic():
        release = SchemaRelease.objects.create(
            name=title[:255],
            facts=_packed(facts),
            texts=_packed(compile_texts(files)),
            changes=_sentences(compare(catalogue.current().compact, facts)),
            loaded_at=now,
            loaded_by_id=by,
        )
        audit.record(actor, "schema.load", subject=release, now=now, details={"payloads": len(loaded.payloads)})
    return release


def activate(release: SchemaRelease, *, reason: str, actor: Actor, now: datetime) -> None:
    """From now on this release says what may be composed. What was published stays as it is."""
    with transaction.atomic():
        SchemaRelease.objects.filter(pk=release.pk).update(activated_at=now)
        audit.record(actor, "schema.activate", subject=release, now=now, reason=reason)


def deactivate(release: SchemaRelease, *, reason: str, actor: Actor, now: datetime) -> None:
    """Go back to the release that counted before."""
    with transaction.atomic():
        SchemaRelease.objects.filter(pk=release.pk).update(activated_at=None)
        audit.record(actor, "schema.deactivate", subject=release, now=now, reason=reason)


def _try_out(loaded: Catalogue) -> None:
    """Build everything once, so that no page finds out later. Raises SchemaError."""
    try:
        for payload in loaded.payloads.values():
            for key in payload.keys:
                _ = key.subkeys, key.platforms
        for declaration in loaded.declarations.values():
            _ = declaration.keys
        _ = loaded.commands, loaded.checkins, loaded.common.keys, loaded.top_level.keys
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise SchemaError(f"The schema is not laid out as this software knows it ({type(error).__name__}).") from None


def _sentences(changes: list[SchemaChange]) -> dict[str, list[str]]:
    by_kind = {kind: [str(change) for change in changes if change.kind == kind] for kind in _KINDS}
    shown = {}
    for kind, sentences in by_kind.items():
        more = len(sentences) - _MOST_CHANGES
        shown[kind] = [*sentences[:_MOST_CHANGES], f"and {more} more"] if more > 0 else sentences
    return shown


def _packed(value: object) -> bytes:
    return gzip.compress(json.dumps(value, separators=(",", ":")).encode(), mtime=0)
