"""Lineages and the profiles in them: taking a file in, reading it again, and which one is the current.

Taking a profile in makes its team and lineage when they are new; it rolls nothing out (`provisioning.renewals`). A
file is stored as it came, and believed only under the roots of this installation.
"""

from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from certificates.encryption import EncryptionError
from operations import audit
from operations.audit import Actor
from protocol import mobileprovision
from protocol.errors import MobileprovisionError
from protocol.mobileprovision import APPLE_ROOTS, Kind, Roots
from provisioning import timing
from provisioning.errors import ProvisioningRefused, UnreadableProfile
from provisioning.models import ApiKey, DeveloperTeam, Lineage, Program, ProvisioningProfile, Source

_CACHED = 256
_parsed: dict[str, mobileprovision.ProvisioningProfile] = {}
_REFUSED_KINDS = {
    Kind.APP_STORE: "This is an App Store profile: it cannot run an app on a device, so it cannot be delivered.",
}


@lru_cache(maxsize=4)
def _roots(path: str) -> Roots:
    if not path:
        return APPLE_ROOTS
    return APPLE_ROOTS.with_certificates(x509.load_pem_x509_certificates(Path(path).read_bytes()))


def roots() -> Roots:
    """What a profile's chain may end at: Apple's roots, and those of the PEM file PROVISIONING_EXTRA_ROOTS."""
    return _roots(settings.PROVISIONING_EXTRA_ROOTS)


def adopt(
    file: mobileprovision.ProvisioningProfile, *, source: Source, actor: Actor, now: datetime, apple_id: str = ""
) -> ProvisioningProfile:
    """Keep a profile that was read and verified; the same file again is the same row.

    The first profile of a lineage becomes its current one. Raises ProvisioningRefused for what no device would take.
    """
    known = ProvisioningProfile.objects.filter(sha256=file.sha256).first()
    if known is not None:
        return _with_apple_id(known, apple_id)
    refuse_undeliverable(file, now)
    try:
        with transaction.atomic():
            row = _store(file, source=source, actor=actor, now=now, apple_id=apple_id)
            if source == Source.UPLOAD:
                audit.record(actor, "provisioning.upload", subject=row, now=now, details={"uuid": row.uuid})
    except IntegrityError:
        # Two took the same file in at the same moment: the unique fingerprint let one through.
        row = ProvisioningProfile.objects.get(sha256=file.sha256)
    return row


def _with_apple_id(row: ProvisioningProfile, apple_id: str) -> ProvisioningProfile:
    if apple_id and row.apple_id != apple_id:
        row.apple_id = apple_id
        row.save(update_fields=["apple_id"])
    return row


def refuse_undeliverable(file: mobileprovision.ProvisioningProfile, now: datetime) -> None:
    """Raise ProvisioningRefused for a file that no device would take over MDM, or whose UUID is another file's."""
    if file.kind in _REFUSED_KINDS:
        raise ProvisioningRefused(_REFUSED_KINDS[file.kind])
    if file.is_free_team:
        raise ProvisioningRefused("A free personal team made this profile: devices refuse it over MDM.")
    if file.expires_at <= now:
        raise ProvisioningRefused(f"The profile has expired, on {file.expires_at:%Y-%m-%d %H:%M} UTC.")
    if ProvisioningProfile.objects.filter(uuid_key=file.uuid.casefold()).exists():
        raise ProvisioningRefused("Another file with this UUID is already known; Apple never uses a UUID twice.")


def _store(
    file: mobileprovision.ProvisioningProfile, *, source: Source, actor: Actor, now: datetime, apple_id: str
) -> ProvisioningProfile:
    lineage = lineage_of(file, now)
    row = ProvisioningProfile.objects.create(
        lineage=lineage,
        uuid=file.uuid[:64],
        uuid_key=file.uuid.casefold()[:64],
        name=file.name[:255],
        sha256=file.sha256,
        data=file.data,
        created_at=file.created_at,
        expires_at=file.expires_at,
        effective_end=file.effective_end,
        certificates=[_certificate(certificate) for certificate in file.certificates],
        device_count=len(file.devices),
        has_der_form=file.has_der_form,
        is_xcode_managed=file.is_xcode_managed,
        source=source,
        apple_id=apple_id,
        added_at=now,
        added_by=actor if isinstance(actor, User) else None,
    )
    if lineage.current_id is None:
        set_current(lineage, row)
    return row


def _certificate(certificate: mobileprovision.SigningCertificate) -> dict[str, str]:
    return {
        "sha256": certificate.sha256,
        "serial_number": certificate.serial_number,
        "common_name": certificate.common_name[:255],
        "not_after": certificate.not_after.isoformat(),
    }


def lineage_of(file: mobileprovision.ProvisioningProfile, now: datetime) -> Lineage:
    """The lineage that a profile belongs to, made with its team at the first one."""
    team, _ = DeveloperTeam.objects.get_or_create(
        identifier=file.team_identifier[:32], defaults={"name": file.team_name[:255], "created_at": now}
    )
    lineage, _ = Lineage.objects.get_or_create(
        team=team,
        application_identifier=file.application_identifier[:255],
        kind=file.kind.value,
        platform=platform_of(file),
        defaults={"name": (file.app_id_name or file.bundle_identifier)[:255], "created_at": now},
    )
    return lineage


def platform_of(file: mobileprovision.ProvisioningProfile) -> str:
    """The lineage's platform: "macOS", "tvOS", or "iOS" with its relatives."""
    if file.is_for_mac:
        return "macOS"
    return "tvOS" if set(file.platforms) == {"tvOS"} else "iOS"


def set_current(lineage: Lineage, profile: ProvisioningProfile) -> None:
    """Make it the lineage's current profile, with the dates that follow from it."""
    lineage.current = profile
    lineage.effective_end = profile.effective_end
    lineage.renew_at = timing.renew_at(
        created_at=profile.created_at,
        ends=profile.effective_end,
        lead_days=lineage.lead_days,
        timing=timing.from_settings(),
        spread=lineage.pk,
    )
    lineage.save(update_fields=["current", "effective_end", "renew_at"])


def read(row: ProvisioningProfile) -> mobileprovision.ProvisioningProfile:
    """What a stored profile says, from a cache of the process. Raises UnreadableProfile."""
    if row.sha256 not in _parsed:
        try:
            file = mobileprovision.read_provisioning_profile(bytes(row.data), roots=roots())
        except MobileprovisionError as error:
            raise UnreadableProfile(f"The stored profile {row.uuid} is no longer believed: {error}") from None
        except EncryptionError:
            raise UnreadableProfile(
                f"The stored profile {row.uuid} cannot be decrypted with the keys of this portal."
            ) from None
        if len(_parsed) >= _CACHED:
            _parsed.clear()
        _parsed[row.sha256] = file
    return _parsed[row.sha256]


def key_for(lineage: Lineage) -> ApiKey | None:
    """The API key that renews a lineage: its own, or one of its team for the right program.

    In-house profiles exist only in the Enterprise Program; the others may belong to either. Its private key is not
    read yet, so that one that cannot be decrypted is met where that is answered (`provisioning.keys.client_for`).
    """
    if lineage.api_key is not None:
        return lineage.api_key
    keys = lineage.team.api_keys.order_by("pk").defer("private_key")
    if lineage.kind == Kind.IN_HOUSE:
        keys = keys.filter(program=Program.ENTERPRISE)
    return keys.first()
