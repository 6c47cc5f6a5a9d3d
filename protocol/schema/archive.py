"""A release of Apple's schema as it is handed over: a folder, or the ZIP file that GitHub makes of a repository.

A ZIP file is hostile until shown otherwise: only small .yaml files in Apple's folders are unpacked, into memory.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from protocol.errors import SchemaError

__all__ = ["read_folder", "read_zip"]

# Apple's release of 2024 has 350 files of 2 MB together, the largest 150 KB.
_MOST_FILES = 5_000
_LARGEST_FILE = 4 * 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_FOLDERS = ("mdm", "declarative")


def read_folder(schema: Path) -> dict[str, bytes]:
    """The YAML files of a checkout of apple/device-management, by path below it. Raises SchemaError."""
    try:
        found = {file.relative_to(schema).as_posix(): file.read_bytes() for file in sorted(schema.rglob("*.yaml"))}
    except OSError as error:
        raise SchemaError(f"The folder cannot be read ({type(error).__name__}).") from None
    return found


def read_zip(data: bytes) -> dict[str, bytes]:
    """The YAML files of a ZIP archive, by path from Apple's folders on, wherever those stand. Raises SchemaError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise SchemaError(f"The file is no readable ZIP archive ({type(error).__name__}).") from None


def _read(archive: zipfile.ZipFile) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = _MOST_BYTES
    for entry in archive.infolist():
        path = _path(entry.filename)
        if path is None or entry.is_dir():
            continue
        if len(found) >= _MOST_FILES:
            raise SchemaError("The archive holds more files than Apple's schema ever had.")
        with archive.open(entry) as file:
            # What the archive says about sizes may be a lie: read one byte more than is allowed.
            content = file.read(_LARGEST_FILE + 1)
        left -= len(content)
        if len(content) > _LARGEST_FILE or left < 0:
            raise SchemaError(f"{path} makes the archive larger than Apple's schema ever was.")
        found[path] = content
    return found


def _path(name: str) -> str | None:
    """The path from "mdm/" or "declarative/" on; None for what is not ours to read."""
    parts = PurePosixPath(name).parts
    if not name.endswith(".yaml") or ".." in parts:
        return None
    start = next((number for number, part in enumerate(parts) if part in _FOLDERS), None)
    return None if start is None else "/".join(parts[start:])
