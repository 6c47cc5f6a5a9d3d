"""The devices that a bundle reaches, counted in groups that differ in what they can take.

One statement whatever the fleet's size: there are as many groups as platforms, versions and kinds of enrollment.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db.models import Count, Exists, FilteredRelation, OuterRef, Q, QuerySet

from devices.models import Device, Enrollment, EnrollmentState, Platform
from protocol.identity import EnrollmentKind
from protocol.schema import PLATFORMS
from protocol.schema.facts import version_of

_USER_ENROLLMENTS = frozenset({EnrollmentKind.USER_ENROLLMENT, EnrollmentKind.USER_ENROLLMENT_USER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """So many devices of one platform ("iPadOS"), version, supervision and kind of enrollment.

    `supervised` is None and `version` empty where the device has not said.
    """

    platform: str
    version: str = ""
    supervised: bool | None = None
    kind: str = EnrollmentKind.DEVICE
    shared: bool = False
    devices: int = 1

    @property
    def system(self) -> str:
        """The platform as Apple's schema calls it: an iPad's is iOS there; empty when it is not known."""
        system = Platform.IOS if self.platform == Platform.IPADOS else self.platform
        return system if system in PLATFORMS else ""

    @property
    def is_user_enrollment(self) -> bool:
        """Whether the user enrolled the device as their own."""
        return self.kind in _USER_ENROLLMENTS

    def is_older(self, version: str) -> bool:
        """Whether its system is older than that; a version that nobody knows is not."""
        return bool(version_of(self.version)) and version_of(self.version) < version_of(version)

    def has_reached(self, version: str | None) -> bool:
        """Whether its system is that version or newer; a version that nobody knows is not."""
        return bool(version and version_of(self.version)) and version_of(self.version) >= version_of(version or "")


def segments_of(devices: QuerySet[Device]) -> tuple[Segment, ...]:
    """These devices in groups, in one statement."""
    channel = FilteredRelation(
        "enrollments", condition=Q(enrollments__state=EnrollmentState.ENROLLED, enrollments__parent=None)
    )
    shared = Enrollment.objects.filter(device=OuterRef("pk"), kind=EnrollmentKind.SHARED_IPAD_USER)
    rows = (
        devices.annotate(channel=channel, shared=Exists(shared))
        .order_by()
        .values_list("platform", "os_version", "is_supervised", "channel__kind", "shared")
        .annotate(devices=Count("pk", distinct=True))
    )
    return tuple(
        Segment(
            platform=platform,
            version=version,
            supervised=supervised,
            kind=kind or EnrollmentKind.DEVICE,
            shared=is_shared,
            devices=number,
        )
        for platform, version, supervised, kind, is_shared, number in rows
    )


def total(segments: Iterable[Segment], which: Callable[[Segment], bool] = lambda _: True) -> int:
    """How many devices the segments hold for which this is true."""
    return sum(segment.devices for segment in segments if which(segment))
