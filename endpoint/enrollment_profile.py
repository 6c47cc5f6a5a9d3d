"""The enrollment profile as this portal hands it out: our trust root, a SCEP identity, the MDM payload.

Addresses come from PORTAL_URL, never from a request. The identifier is the same for ever, for a device renews only
by a profile that replaces the one it has (mdm-protocol 3.5 and 5).
"""

import hashlib
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.urls import reverse

from certificates.authority import ensure_authority, signer
from certificates.push_certificates import current_push_certificate
from devices.invitations import profile_identifier
from protocol.cms import sign_attached
from protocol.mobileconfig import EnrollmentProfile
from protocol.plist import dumps

CONTENT_TYPE = "application/x-apple-aspen-config"


class NoPushCertificate(Exception):  # noqa: N818 (says what is missing)
    """Without a push certificate there is no topic, and no device can enroll."""


def portal_url(name: str, *args: str) -> str:
    """The absolute address of one of our URLs by its name."""
    return f"{settings.PORTAL_URL}{reverse(name, args=args)}"


def render(challenge: str, now: datetime) -> bytes:
    """The profile with this challenge, signed unless PORTAL_SIGN_ENROLLMENT is off. Raises NoPushCertificate."""
    push = current_push_certificate()
    if push is None:
        raise NoPushCertificate
    root = ensure_authority(now).certificate.public_bytes(Encoding.DER)
    organization = settings.PORTAL_ORGANIZATION
    content = EnrollmentProfile(
        identifier=profile_identifier(),
        organization=organization,
        topic=push.topic,
        server_url=portal_url("mdm-connect"),
        check_in_url=portal_url("mdm-checkin"),
        scep_url=portal_url("scep"),
        scep_name="MDM",
        challenge=challenge,
        subject=[[["O", organization]], [["CN", "MDM identity"]]],
        # SHA-1 is what every system that can enroll compares; it names a certificate that came over the same channel.
        ca_fingerprint=hashlib.sha1(root, usedforsecurity=False).digest(),
        root_certificates=(root,),
        sign_message=True,
    ).build()
    data = dumps(content)
    if not settings.PORTAL_SIGN_ENROLLMENT:
        return data
    certificate, key, chain = signer(now)
    return sign_attached(data, certificate, private_key=key, chain=chain)
