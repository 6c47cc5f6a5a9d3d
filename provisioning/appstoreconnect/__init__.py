"""A client of Apple's two provisioning APIs: App Store Connect, and that of the Enterprise Program.

Knows nothing of Django: a key comes in as a value, and errors come out as one type (`AppStoreConnectError`).
"""

from provisioning.appstoreconnect.client import Client
from provisioning.appstoreconnect.connection import Exchange
from provisioning.appstoreconnect.errors import AppStoreConnectError, ErrorKind
from provisioning.appstoreconnect.rates import RateLimit
from provisioning.appstoreconnect.resources import AppleBundleId, AppleCertificate, AppleDevice, AppleProfile
from provisioning.appstoreconnect.tokens import HOSTS, KeyMaterial

__all__ = [
    "HOSTS",
    "AppStoreConnectError",
    "AppleBundleId",
    "AppleCertificate",
    "AppleDevice",
    "AppleProfile",
    "Client",
    "ErrorKind",
    "Exchange",
    "KeyMaterial",
    "RateLimit",
]
