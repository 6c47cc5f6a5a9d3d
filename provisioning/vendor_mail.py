"""The letter by which IT asks whoever signs an app for a new provisioning profile: text to copy, sent by nobody here."""

import hashlib

from protocol.mobileprovision import ProvisioningProfile
from provisioning.models import Lineage


def write(lineage: Lineage, profile: ProvisioningProfile) -> str:
    """Subject and text in plain words, with what the vendor needs to find the App ID and the certificate."""
    ends = f"{profile.effective_end:%Y-%m-%d}"
    certificates = "\n".join(
        f"  {certificate.common_name}\n"
        f"    serial number {certificate.serial_number}\n"
        f"    SHA-1 {_sha1(certificate.der)}\n"
        f"    ends {certificate.not_after:%Y-%m-%d}"
        for certificate in profile.certificates
    )
    return f"""Subject: Provisioning profile of {lineage.name} ends on {ends}

Hello,

the provisioning profile of your app ends on {ends}. From then on the app does not start on our devices.
Please send us a new one before that date, at best six weeks earlier.

  App ID        {profile.application_identifier}
  Team          {profile.team_identifier} {profile.team_name}
  Kind          {profile.kind.value.replace("_", " ")}, for {", ".join(profile.platforms) or lineage.platform}
  Profile now   {profile.name}, {profile.uuid}

The new profile must list the certificate that signed the app we have:

{certificates}

With this certificate we need only the file (.mobileprovision). If you sign with another one, please send the app as a
whole (.ipa), with new profiles for the app and for each of its extensions.

Thank you
"""


def _sha1(der: bytes) -> str:
    """The fingerprint as Apple's tools print it; a name for the certificate, not a protection."""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
