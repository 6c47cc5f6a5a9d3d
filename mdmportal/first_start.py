"""What must exist before any process of the portal starts: the data folder and its keys.

Runs before Django's settings are read (from manage.py), under a file lock, so that web, worker and beat started
together never make two different keys. Keys given in the environment are left alone and nothing is written for them.
"""

import fcntl
import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent


def data_directory() -> Path:
    """PORTAL_DATA_DIR, or `data` beside manage.py."""
    return Path(os.environ.get("PORTAL_DATA_DIR") or BASE_DIR / "data").resolve()


def key_file(directory: Path, name: str) -> Path:
    """Where a key that was made at first start lies."""
    return directory / "keys" / name


def occupy(directory: Path) -> bool:
    """Claim the data folder for this process until it ends; False when another portal runs on it.

    Two that share a folder would share its broker and hand each other's devices around.
    """
    descriptor = os.open(directory / "keys" / ".running", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    # Never closed: the kernel lets go of the lock when the process ends, however it ends.
    return True


def prepare() -> None:
    """Make the data folder (0700) and the two keys that the environment does not give (0600)."""
    directory = data_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # whitenoise warns when the folder of collected static files is missing, Django without one for uploads.
    for name in ("keys", "static", "tmp"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    lock = os.open(directory / "keys" / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _given("SECRET_KEY"):
            _make(key_file(directory, "secret_key"), secrets.token_urlsafe(50))
        if not _given("PORTAL_ENCRYPTION_KEYS"):
            _make(key_file(directory, "encryption_keys"), urlsafe_b64encode(secrets.token_bytes(32)).decode())
    finally:
        os.close(lock)


def _given(name: str) -> bool:
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _make(path: Path, value: str) -> None:
    if path.exists():
        return
    # Written aside and moved: a crash in between leaves no half key that a later start would take for a whole one.
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
