"""The provisioning profiles inside an .ipa: of the app, and of every extension and watch app in it.

Renewing only the app's own is a classic outage: each bundle launches by its own profile. An archive is hostile until
shown otherwise: only property lists and profiles are unpacked, a few and small ones, into memory.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

from protocol.errors import MobileprovisionError, PlistError
from protocol.plist import PlistValue, loads_dict

__all__ = ["Ipa", "IpaBundle", "read_ipa"]

_MOST_BUNDLES = 100
_MOST_ENTRIES = 200_000
_LARGEST_FILE = 4 * 1024 * 1024
# What apps are packed with. The others unpack a whole piece before they ask how much of it is wanted: 60 kB of LZMA
# are a gigabyte of memory.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_EMBEDDED = "embedded.mobileprovision"
_INFO = "Info.plist"
_SUFFIXES = (".app", ".appex")


@dataclass(frozen=True, slots=True)
class IpaBundle:
    """One bundle of an .ipa with the profile that lies in it. `path` starts at "Payload/"."""

    path: str
    bundle_identifier: str
    version: str
    short_version: str
    display_name: str
    profile: bytes = field(repr=False)

    @property
    def is_app(self) -> bool:
        """Whether it is the app itself."""
        return len(PurePosixPath(self.path).parts) == 2


@dataclass(frozen=True, slots=True)
class Ipa:
    """An .ipa's bundles that hold a profile, the app first."""

    bundles: tuple[IpaBundle, ...]

    @property
    def app(self) -> IpaBundle:
        """The app itself."""
        return self.bundles[0]


def read_ipa(file: IO[bytes]) -> Ipa:
    """Find every embedded profile of an .ipa. Raises MobileprovisionError, whatever the bytes."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _read(archive)
    except MobileprovisionError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        sentence = f"The file is no readable .ipa ({type(error).__name__})."
        raise MobileprovisionError("not_ipa", sentence) from None


def _read(archive: zipfile.ZipFile) -> Ipa:
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise MobileprovisionError("too_large", "The archive has more files than any app.")
    # By their plain spelling: "Payload//A.app" and "./Payload/A.app" are the same folder.
    names = {str(PurePosixPath(entry.filename)): entry for entry in entries}
    folders = [
        str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name == _EMBEDDED and _is_bundle(name)
    ]
    if not folders:
        raise MobileprovisionError("no_profile", "The archive holds no app with a provisioning profile in it.")
    if len(folders) > _MOST_BUNDLES:
        raise MobileprovisionError("too_large", "The archive has more extensions than any app.")
    bundles = [_bundle(archive, names, folder) for folder in sorted(folders, key=lambda path: (path.count("/"), path))]
    if not bundles[0].is_app:
        raise MobileprovisionError("no_profile", "The app itself holds no provisioning profile.")
    return Ipa(tuple(bundles))


def _is_bundle(name: str) -> bool:
    folder = PurePosixPath(name).parent
    return folder.parts[:1] == ("Payload",) and folder.suffix in _SUFFIXES and ".." not in folder.parts


def _bundle(archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo], folder: str) -> IpaBundle:
    info: dict[str, PlistValue] = {}
    entry = names.get(f"{folder}/{_INFO}")
    if entry is not None:
        try:
            info = loads_dict(_content(archive, entry))
        except PlistError:
            raise MobileprovisionError("malformed", f"{folder}/{_INFO} cannot be read.") from None

    def text(key: str) -> str:
        value = info.get(key)
        return value.strip() if isinstance(value, str) else ""

    return IpaBundle(
        path=folder,
        bundle_identifier=text("CFBundleIdentifier"),
        version=text("CFBundleVersion"),
        short_version=text("CFBundleShortVersionString"),
        display_name=text("CFBundleDisplayName") or text("CFBundleName"),
        profile=_content(archive, names[f"{folder}/{_EMBEDDED}"]),
    )


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type not in _PACKINGS:
        raise MobileprovisionError("not_ipa", "The archive is packed as no app is.")
    with archive.open(entry) as file:
        # What the archive says about sizes may be a lie: read one byte more than is allowed.
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise MobileprovisionError("too_large", f"{entry.filename[:200]} is far larger than it should be.")
    return content
