"""Provisioning profiles: .mobileprovision and .provisionprofile files, and those inside an .ipa (Apple, TN3125).

The format is no promise of Apple's, so reading is lenient about keys and strict about the signature; the bytes are
kept as they came. Whether a profile may be delivered, and to whom, is `provisioning`.
"""

from protocol.mobileprovision.archive import Ipa, IpaBundle, read_ipa
from protocol.mobileprovision.reading import Kind, ProvisioningProfile, SigningCertificate, read_provisioning_profile
from protocol.mobileprovision.trust import APPLE_ROOTS, Roots

__all__ = [
    "APPLE_ROOTS",
    "Ipa",
    "IpaBundle",
    "Kind",
    "ProvisioningProfile",
    "Roots",
    "SigningCertificate",
    "read_ipa",
    "read_provisioning_profile",
]
