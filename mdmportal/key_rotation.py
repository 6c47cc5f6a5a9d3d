"""Encrypting everything at rest anew under the first of PORTAL_ENCRYPTION_KEYS, while the portal runs.

A value that changes meanwhile is left alone (whoever wrote it used the first key); running it again does no harm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from certificates.encryption import EncryptedField, EncryptionError, rotate

# Small, for SQLite has one writer at a time and devices wait behind it.
BATCH = 200


@dataclass(frozen=True, slots=True)
class Rotated:
    """What became of one column: values rewritten, already under the first key, and opened by no key."""

    label: str
    rewritten: int
    current: int
    unreadable: int


def rotate_everything() -> Iterator[Rotated]:
    """Every encrypted column of every model, one after the other."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:  # noqa: SLF001 (Django's public Meta API)
            if isinstance(field, EncryptedField) and field.model is model:
                yield _rotate_column(model, field)


def _rotate_column(model: type[models.Model], field: EncryptedField) -> Rotated:
    table, column, key = _quoted(model, field)
    counts = {"rewritten": 0, "current": 0, "unreadable": 0}
    last = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {key}, {column} FROM {table} WHERE {key} > %s ORDER BY {key} LIMIT {BATCH}",  # noqa: S608 (names of our own models)
                [last],
            )
            rows = cursor.fetchall()
            for pk, value in rows:
                counts[_rotate_value(cursor, (table, column, key), pk=pk, value=value)] += 1
        if not rows:
            return Rotated(f"{model._meta.label}.{field.name}", **counts)  # noqa: SLF001
        last = rows[-1][0]


def _rotate_value(cursor: Any, names: tuple[str, str, str], *, pk: int, value: Any) -> str:
    table, column, key = names
    old = bytes(value or b"")
    if not old:
        return "current"
    try:
        fresh = rotate(old)
    except EncryptionError:
        return "unreadable"
    if fresh is None:
        return "current"
    # The condition closes the race with a worker that stores another value meanwhile: theirs stays.
    sql = f"UPDATE {table} SET {column} = %s WHERE {key} = %s AND {column} = %s"  # noqa: S608
    cursor.execute(sql, [fresh, pk, old])
    return "rewritten"


def _quoted(model: type[models.Model], field: EncryptedField) -> tuple[str, str, str]:
    meta, quote = model._meta, connection.ops.quote_name  # noqa: SLF001
    return quote(meta.db_table), quote(str(field.column)), quote(str(meta.pk.column))
