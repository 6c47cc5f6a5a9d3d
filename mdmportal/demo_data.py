"""How a demo's data is known: it trusts a fake Apple, so the portal for real devices must never stand on it.

Only the marks are here; the demo itself is `mdmportal/demo/`.
"""

from pathlib import Path

# In the data folder, and the action of an audit event in the database.
MARKER = "THIS-IS-A-DEMO"
PREPARED = "demo.prepared"


def is_demo_folder(folder: Path) -> bool:
    """Whether a demo made this data folder."""
    return (folder / MARKER).exists()


def is_demo_database() -> bool:
    """Whether a demo has prepared this database; False before its first migration."""
    from django.db import connection

    from operations.models import AuditEvent

    table = AuditEvent._meta.db_table  # noqa: SLF001 (Django's public Meta API)
    return table in connection.introspection.table_names() and AuditEvent.objects.filter(action=PREPARED).exists()
