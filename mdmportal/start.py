"""What `up` does before its processes run: refuse what would hurt, bring the database up to date, make what is needed.

System checks have passed by then (Django runs them before the command).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections

from certificates.authority import ensure_authority, issue_server
from devices.groups import ensure_all_group
from mdmportal import first_start
from mdmportal.demo_data import is_demo_database, is_demo_folder

# Any number will do, so long as it is this one everywhere.
MIGRATION_LOCK = 4_710_816


class StartError(Exception):
    """A reason not to start, in words for whoever typed the command."""


def refuse_demo_data(folder: Path) -> None:
    """StartError when the portal for real devices would stand on a demo's data."""
    if is_demo_folder(folder):
        raise StartError(f"{folder} was made by the demo, which trusts a fake Apple. Set PORTAL_DATA_DIR to another.")
    if is_demo_database():
        raise StartError("This database was made by the demo, which trusts a fake Apple. Set DATABASE_URL to another.")


def occupy(folder: Path) -> None:
    """StartError when a portal runs on this data folder already; else it is ours until this process ends."""
    if not first_start.occupy(folder):
        raise StartError(f"A portal runs on {folder} already. Stop it first, or set PORTAL_DATA_DIR to another folder.")


def prepare_database(now: datetime) -> None:
    """Migrations (one machine at a time), the certificate authority, the group `all`."""
    with _alone():
        call_command("migrate", interactive=False, verbosity=0)
    ensure_authority(now)
    ensure_all_group(now)


def collect_static_files() -> None:
    """Compressed, and under names that browsers may keep; anew at each start, for the code may be a newer one."""
    call_command("collectstatic", interactive=False, verbosity=0)


@contextmanager
def _alone() -> Iterator[None]:
    """Two machines that start together must not both migrate; SQLite's file belongs to one machine."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def server_certificate(settings: Any, now: datetime) -> tuple[Path, Path]:
    """Certificate chain and key for HTTPS by our own authority, kept in the data folder (0600).

    Made anew when the host name changed or a third of its life is left.
    """
    host = urlsplit(settings.PORTAL_URL).hostname or "localhost"
    folder = settings.DATA_DIR / "tls"
    chain, key = folder / "server.pem", folder / "server.key"
    if key.is_file() and chain.is_file() and _serves(chain, host, now):
        return chain, key
    authority = ensure_authority(now)
    issued = issue_server(authority, host_names=list(dict.fromkeys([host, "localhost", "127.0.0.1"])), now=now)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_secret(key, bytes(issued.private_key_pem or b""))
    certificates = (issued.certificate, authority.certificate)
    _write_secret(chain, b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    return chain, key


def _serves(chain: Path, host: str, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(chain.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    known = {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
    return host in known and now < certificate.not_valid_after_utc - life / 3


def _write_secret(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def has_administrator() -> bool:
    return get_user_model().objects.filter(is_superuser=True, is_active=True).exists()


def administrator(name: str, password: str) -> Any:
    """The administrator of that name with that password, made or reset."""
    user, _ = get_user_model().objects.get_or_create(username=name)
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    return user


def before_children() -> None:
    """No connection may be shared with a child."""
    connections.close_all()
    sys.stdout.flush()
