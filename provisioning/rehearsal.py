"""What a renewal would do, without doing it: GETs only, each answer in words (the dry run).

Every part is tried by itself, so that one page names all that stands in the way. Entitlements are made by Apple from
the App ID's capabilities and cannot be foretold.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from protocol.mobileprovision import ProvisioningProfile
from provisioning import creating, lineages, timing
from provisioning.appstoreconnect import AppleBundleId, AppleCertificate, AppStoreConnectError, Client
from provisioning.errors import ProvisioningError, ProvisioningRefused
from provisioning.models import AppBundle, Lineage, Renewal

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would be asked of Apple and what it would give; `problems` are sentences, empty when it would work."""

    application_identifier: str
    profile_type: str
    name: str
    # The App ID's name at Apple; None when it could not be found.
    app_id_name: str | None
    # Names of the certificates that would be listed, and when the last of them ends.
    certificates: tuple[str, ...]
    certificate_end: datetime | None
    # When renewing would begin by itself, and when what it makes would probably end.
    begins_at: datetime | None
    predicted_end: datetime | None
    # How many devices would be listed; None for profiles that run on any device.
    device_count: int | None
    is_wildcard: bool
    # Other lineages whose profiles lie in the same apps.
    siblings: tuple[str, ...]
    entitlements: tuple[str, ...] = field(repr=False)
    rate_remaining: int | None
    problems: tuple[str, ...]

    @property
    def works(self) -> bool:
        """Whether nothing that can be known before stands in the way."""
        return not self.problems

    @property
    def is_limited_by_certificate(self) -> bool:
        """Whether the new profile would end with its certificate."""
        return self.predicted_end is not None and self.predicted_end == self.certificate_end


def dry_run(lineage: Lineage, now: datetime, client: Client) -> DryRun:
    """Ask Apple everything that a renewal now would ask. Raises ProvisioningRefused without a profile to renew."""
    if lineage.current is None:
        raise ProvisioningRefused(f"{lineage} has no profile that could be renewed: upload its first one.")
    try:
        old = lineages.read(lineage.current)
    except ProvisioningError as error:
        raise ProvisioningRefused(error.reason) from None
    return _Rehearsal(lineage, old, client, now).run()


class _Rehearsal:
    """One dry run: what was found so far, and what stood in the way."""

    def __init__(self, lineage: Lineage, old: ProvisioningProfile, client: Client, now: datetime) -> None:
        self.lineage, self.old, self.client, self.now = lineage, old, client, now
        self.pace = timing.from_settings()
        self.problems: list[str] = []

    def run(self) -> DryRun:
        wanted_type = self._try(lambda: creating.profile_type(self.lineage))
        app_id = self._try(self._app_id)
        certificates = self._try(self._certificates) or []
        devices = self._try(self._devices)
        last = max((one.expires_at for one in certificates if one.expires_at is not None), default=None)
        full = self.now + self.pace.lifetime
        exchange = self.client.last_exchange
        planned = Renewal(lineage=self.lineage, old_profile=self.lineage.current)
        return DryRun(
            application_identifier=self.lineage.application_identifier,
            profile_type=wanted_type or "",
            name=creating.plan_name(planned, now=self.now),
            app_id_name=app_id.name if app_id is not None else None,
            certificates=tuple(one.name for one in certificates),
            certificate_end=last,
            begins_at=self.lineage.renew_at,
            predicted_end=min(full, last or full) if certificates else None,
            device_count=len(devices) if devices is not None and self.lineage.kind in creating.LISTED_KINDS else None,
            is_wildcard=self.old.is_wildcard,
            siblings=self._siblings(),
            entitlements=tuple(sorted(self.old.entitlements)),
            rate_remaining=exchange.remaining if exchange is not None else None,
            problems=tuple(dict.fromkeys(self.problems)),
        )

    def _app_id(self) -> AppleBundleId:
        return creating.find_bundle_id(self.client, self.old)

    def _certificates(self) -> list[AppleCertificate]:
        # In a year the same certificate may be too short; what counts is the day on which the renewal begins.
        begins = max(self.lineage.renew_at or self.now, self.now)
        return creating.find_certificates(self.client, self.old, now=begins, timing=self.pace)

    def _devices(self) -> list[str]:
        return creating.find_devices(self.client, self.lineage, self.old)

    def _siblings(self) -> tuple[str, ...]:
        versions = AppBundle.objects.filter(lineage=self.lineage, profile=self.lineage.current).values("version")
        others = Lineage.objects.active().filter(app_bundles__version__in=versions).exclude(pk=self.lineage.pk)
        return tuple(others.order_by("name").values_list("name", flat=True).distinct())

    def _try(self, part: Callable[[], T]) -> T | None:
        try:
            return part()
        except (AppStoreConnectError, creating.CannotCreate) as error:
            self.problems.append(error.sentence)
        return None


__all__ = ["DryRun", "dry_run"]
