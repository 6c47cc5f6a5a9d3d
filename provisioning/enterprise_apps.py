"""Enterprise apps: .ipa files kept as they came, installed by a manifest whose links are good for one device and a day.

A link names the enrollment, the version and its own end, and is signed with a key of its own: the daemon that
downloads an app shows no identity. New installs run under the profile inside the file, so they end with it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

from django.contrib.auth.models import User
from django.core.files.base import File
from django.core.signing import BadSignature, Signer
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from devices.commands import CommandSpec, enqueue, enqueue_each
from devices.models import Enrollment, LadderState, Platform
from operations import audit
from operations.audit import Actor
from protocol.plist import PlistValue, dumps
from provisioning import uploading
from provisioning.errors import ProvisioningRefused
from provisioning.models import AppBundle, AppVersion, EnterpriseApp, ProvisioningProfile
from provisioning.uploading import ReadUpload, TakenUpload

LINK_LIFETIME = timedelta(days=1)
# Removed with the MDM profile, and not in backups: it is the company's.
_MANAGEMENT_FLAGS = 5
_SALT = "provisioning.enterprise_apps.link"
_HUMAN_PRIORITY = 50
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed link is good for: one version on one enrollment, until its end (aware UTC)."""

    enrollment_id: int
    version_id: int
    ends: datetime


# --- taking a file in ------------------------------------------------------------------------------------------------


def add_version(file: IO[bytes], upload: ReadUpload, *, actor: Actor, now: datetime) -> tuple[AppVersion, TakenUpload]:
    """Keep an .ipa that was read, with every profile in it; the same file again is the same version.

    Raises ProvisioningRefused, and then nothing was written.
    """
    assert upload.ipa is not None  # noqa: S101 (read_upload said so)
    app = upload.ipa.app
    if not app.bundle_identifier:
        raise ProvisioningRefused("The app does not say its bundle identifier.")
    sha256, size = _measure(file)
    try:
        with transaction.atomic():
            taken = uploading.take_upload(upload, actor=actor, now=now)
            known = AppVersion.objects.select_related("app").filter(sha256=sha256).first()
            if known is not None:
                return known, taken
            owner, _ = EnterpriseApp.objects.get_or_create(
                bundle_identifier=app.bundle_identifier[:255],
                defaults={"name": (app.display_name or app.bundle_identifier)[:255], "created_at": now},
            )
            version = AppVersion(
                app=owner, version=app.version[:64], short_version=app.short_version[:64], size=size, sha256=sha256,
                uploaded_at=now, uploaded_by=actor if isinstance(actor, User) else None,
            )  # fmt: skip
            file.seek(0)
            version.file.save(f"{sha256}.ipa", File(file), save=False)
            version.save()
            _save_bundles(version, upload, taken.profiles)
            details = {"version": version.short_version or version.version, "sha256": sha256}
            audit.record(actor, "app.upload", subject=owner, now=now, details=details)
    except IntegrityError:
        # Two took the same file in at the same moment: the unique fingerprint let one through.
        return AppVersion.objects.select_related("app").get(sha256=sha256), TakenUpload((), ())
    return version, taken


def _save_bundles(version: AppVersion, upload: ReadUpload, profiles: Iterable[ProvisioningProfile]) -> None:
    AppBundle.objects.bulk_create(
        AppBundle(
            version=version, path=found.path[:500], bundle_identifier=found.bundle_identifier[:255], profile=profile,
            lineage_id=profile.lineage_id,
        )
        for found, profile in zip(upload.profiles, profiles, strict=True)
    )  # fmt: skip


def _measure(file: IO[bytes]) -> tuple[str, int]:
    """SHA-256 and size, read in pieces: apps have gigabytes."""
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while piece := file.read(_CHUNK):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def installable_until(version: AppVersion) -> datetime | None:
    """When the first profile inside the file ends; a device refuses to install the app from then on."""
    ends = version.bundles.order_by("profile__effective_end").values_list("profile__effective_end", flat=True)
    return ends.first()


# --- links -----------------------------------------------------------------------------------------------------------


def sign_link(enrollment_id: int, version_id: int, now: datetime) -> str:
    """A token for the addresses of a version's manifest and file, for this enrollment and LINK_LIFETIME."""
    ends = int((now + LINK_LIFETIME).timestamp())
    return _signer().sign(f"{enrollment_id}-{version_id}-{ends}")


def read_link(token: str, now: datetime) -> Link | None:
    """What a token is good for; None when it is not ours or has ended. Compared in constant time."""
    try:
        enrollment_id, version_id, ends = (int(part) for part in _signer().unsign(token).split("-"))
    except (BadSignature, ValueError):
        return None
    link = Link(enrollment_id, version_id, datetime.fromtimestamp(ends, UTC))
    return link if link.ends > now else None


def version_for(link: Link) -> AppVersion | None:
    """The version that a link leads to, while its enrollment is in force."""
    if not Enrollment.objects.enrolled().filter(pk=link.enrollment_id).exists():
        return None
    return AppVersion.objects.select_related("app").filter(pk=link.version_id).first()


def _signer() -> Signer:
    # The salt makes a key of its own from SECRET_KEY: no other signature of the portal opens an app.
    return Signer(sep=".", salt=_SALT)


def manifest(version: AppVersion, file_url: str) -> bytes:
    """The manifest as an XML property list, with the address of the file."""
    asset: dict[str, PlistValue] = {"kind": "software-package", "url": file_url}
    metadata: dict[str, PlistValue] = {
        "bundle-identifier": version.app.bundle_identifier,
        "bundle-version": version.version,
        "kind": "software",
        "title": version.app.name,
    }
    return dumps({"items": [{"assets": [asset], "metadata": metadata}]})


# --- installing ------------------------------------------------------------------------------------------------------


def install(version: AppVersion, enrollments: QuerySet[Enrollment], *, reason: str, actor: Actor, now: datetime) -> int:
    """Queue the version for these enrollments; on how many. Raises ProvisioningRefused for a file that has ended."""
    until = installable_until(version)
    if until is not None and until <= now:
        raise ProvisioningRefused(
            f"The profile inside this file ended on {until:%Y-%m-%d}: devices refuse to install it. Ask for a new .ipa."
        )
    origin = f"{actor.get_username() if actor is not None else 'command line'}: {version}"
    with transaction.atomic():
        specs = [
            # The link is made when the device asks for the command: it is good for a day, a queue for a month.
            CommandSpec(
                enrollment_id=pk, request_type="InstallApplication", origin=origin, priority=_HUMAN_PRIORITY,
                params={"AppVersion": version.pk},
            )
            for pk in installable_on(enrollments).order_by("pk").values_list("pk", flat=True)
        ]  # fmt: skip
        queued = enqueue(specs, now)
        details = {"version": str(version), "enrollments": len(queued)}
        audit.record(actor, "app.install", subject=version.app, now=now, reason=reason, details=details)
    return len(queued)


def installable_on(enrollments: QuerySet[Enrollment]) -> QuerySet[Enrollment]:
    """Those of the enrollments that take an .ipa: device channels in force of anything but Macs."""
    live = enrollments.filter(pk__in=Enrollment.objects.enrolled().device_channel().values("pk"))
    return live.exclude(device__platform=Platform.MACOS)


def install_params(version_id: int, manifest_url: str) -> Mapping[str, PlistValue]:
    """Keys of an InstallApplication for a stored version. Raises ProvisioningRefused when it is gone."""
    if not AppVersion.objects.filter(pk=version_id).exists():
        raise ProvisioningRefused("The app's file was deleted.")
    return {"ManifestURL": manifest_url, "ManagementFlags": _MANAGEMENT_FLAGS}


def validate(app: EnterpriseApp, enrollments: QuerySet[Enrollment], *, reason: str, actor: Actor, now: datetime) -> int:
    """Have devices ask Apple whether the app may run (ValidateApplications); how many were asked."""
    bundles = AppBundle.objects.filter(version__app=app).values_list("bundle_identifier", flat=True)
    identifiers: list[PlistValue] = [*sorted({app.bundle_identifier, *bundles})]
    with transaction.atomic():
        pks = list(installable_on(enrollments).order_by("pk").values_list("pk", flat=True))
        queued = enqueue_each(
            pks, "ValidateApplications", origin=f"validation of {app}", now=now, params={"Identifiers": identifiers}
        )
        details = {"enrollments": len(queued)}
        audit.record(actor, "app.validate", subject=app, now=now, reason=reason, details=details)
    return len(queued)


def validate_proved(enrollment: Enrollment, now: datetime) -> int:
    """Have a device validate the apps under the profiles that its list proved in this very moment; how many commands.

    A device that was online then need not reach Apple at the app's next launch.
    """
    proved = AppBundle.objects.filter(
        lineage__installations__enrollment=enrollment,
        lineage__installations__state=LadderState.INSTALLED,
        lineage__installations__changed_at=now,
    )
    identifiers: list[PlistValue] = [*sorted(set(proved.values_list("bundle_identifier", flat=True)))]
    if not identifiers or enrollment.device.platform == Platform.MACOS:
        return 0
    queued = enqueue_each(
        [enrollment.pk], "ValidateApplications", origin="new provisioning profile", now=now,
        params={"Identifiers": identifiers},
    )  # fmt: skip
    return len(queued)


def delete_version(version: AppVersion, *, reason: str, actor: Actor, now: datetime) -> None:
    """Forget a version and its file; devices that have it keep it."""
    app, storage, name = version.app, version.file.storage, version.file.name
    with transaction.atomic():
        audit.record(
            actor, "app.delete_version", subject=app, now=now, reason=reason, details={"version": str(version)}
        )
        version.delete()
        # A file without a row is litter, a row without a file a broken link: the file goes last.
        transaction.on_commit(lambda: storage.delete(name) if name else None)
