"""Files that people upload, for the tests of this package: profiles of a fake Apple, and apps around them."""

import io
import plistlib
import zipfile

from tests.protocol.provisioning_files import NOW, in_house

APP = "com.example.pos"


def ipa(profile=None, *, extension=None, version="7", bundle_identifier=APP):
    """An .ipa with an app in it, and an extension with a profile of its own where one is given."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        _bundle(archive, "Payload/POS.app", bundle_identifier, version, profile or in_house(now=NOW))
        if extension is not None:
            _bundle(archive, "Payload/POS.app/PlugIns/Share.appex", f"{bundle_identifier}.share", version, extension)
    return made.getvalue()


def _bundle(archive, folder, identifier, version, profile):
    info = {
        "CFBundleIdentifier": identifier, "CFBundleVersion": version, "CFBundleShortVersionString": f"{version}.0",
        "CFBundleDisplayName": "POS",
    }  # fmt: skip
    archive.writestr(f"{folder}/Info.plist", plistlib.dumps(info))
    archive.writestr(f"{folder}/embedded.mobileprovision", profile)
