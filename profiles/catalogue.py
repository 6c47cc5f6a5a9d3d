"""Apple's schema as it counts here and now: the release that somebody loaded and activated, or the packaged one."""

import gzip
import json
from functools import lru_cache

from profiles.models import SchemaRelease
from protocol.schema import Catalogue, packaged


def current() -> Catalogue:
    """The catalogue that counts, for one statement; the catalogue itself is kept per process."""
    active = SchemaRelease.objects.exclude(activated_at=None).order_by("-activated_at", "-pk")
    pk = active.values_list("pk", flat=True).first()
    return packaged() if pk is None else _release(pk)


@lru_cache(maxsize=2)
def _release(pk: int) -> Catalogue:
    """A release never changes once it is loaded."""
    facts, texts = SchemaRelease.objects.values_list("facts", "texts").get(pk=pk)
    return Catalogue(json.loads(gzip.decompress(bytes(facts))), texts=json.loads(gzip.decompress(bytes(texts))))
