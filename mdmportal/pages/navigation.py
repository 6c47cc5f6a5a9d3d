"""The navigation of every page: four groups of links, each shown to those who may follow it, with what is to be done.

The context processor is lazy: a page without the frame (a device's, a file) costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from certificates.models import CertificateAuthority, PushCertificate
from devices.models import Device
from operations.models import Alert
from portal_ui.frame import Badge, Frame, NavigationGroup, NavigationItem

SOON = timedelta(days=60)
# Badges are a few seconds old at most; without it every page would count the fleet.
COUNTS_KEEP = 10
COUNTS_KEY = "navigation.counts"


@dataclass(frozen=True, slots=True)
class Entry:
    """One link: URL name, the right it needs, its icon, and the address below which it is the current one."""

    label: str
    name: str
    right: str
    icon: str
    badge: str = ""
    also: tuple[str, ...] = ()


# Not every room is built at the same time: an entry whose URL does not exist is left out.
GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    ("Fleet", (
        Entry("Dashboard", "admin:index", "", "dashboard"),
        Entry("Devices", "admin:devices_device_changelist", "devices.view_device", "devices", "failing", ("/admin/device/",)),
        Entry("Groups", "admin:devices_devicegroup_changelist", "devices.view_devicegroup", "groups"),
        Entry("Enrollment", "admin:devices_invitation_changelist", "devices.view_invitation", "invite", "", ("/admin/invite/",)),
        Entry("Commands", "admin:devices_command_changelist", "devices.view_command", "commands", "waiting"),
    )),
    ("Configuration", (
        Entry("Bundles", "admin:profiles_bundle_changelist", "profiles.view_bundle", "bundles"),
        Entry("Assignments", "admin:profiles_assignment_changelist", "profiles.view_assignment", "assignments"),
        Entry("Installations", "admin:profiles_installation_changelist", "profiles.view_installation", "installations"),
        Entry("Secrets", "admin:profiles_secret_changelist", "profiles.view_secret", "secrets"),
        Entry("Provisioning profiles", "admin:provisioning_lineage_changelist", "provisioning.view_lineage", "provisioning",
              "", ("/admin/provisioning/renewal/", "/admin/provisioning/provisioningprofile/")),
        Entry("Enterprise apps", "admin:provisioning_enterpriseapp_changelist", "provisioning.view_enterpriseapp", "bundles"),
    )),
    ("Trust", (
        Entry("Push & certificates", "admin:certificates_pushcertificate_changelist", "certificates.view_pushcertificate",
              "push", "ending", ("/admin/push-certificate/",)),
        Entry("Issued certificates", "admin:certificates_issuedcertificate_changelist",
              "certificates.view_issuedcertificate", "certificates"),
        Entry("API keys", "admin:provisioning_apikey_changelist", "provisioning.view_apikey", "secrets"),
        Entry("Audit log", "admin:operations_auditevent_changelist", "operations.view_auditevent", "audit"),
    )),
    ("System", (
        Entry("Alerts", "admin:operations_alert_changelist", "operations.view_alert", "alerts", "alerts"),
        Entry("Operations", "admin:operations_operation_changelist", "operations.view_operation", "operations"),
        Entry("Accounts", "admin:auth_user_changelist", "auth.view_user", "accounts"),
        Entry("Roles", "admin:auth_group_changelist", "auth.view_group", "roles"),
        Entry("Apple's schema", "admin:profiles_schemarelease_changelist", "profiles.view_schemarelease", "schema"),
        Entry("All records", "records", "", "records"),
    )),
)  # fmt: skip
BADGES = {
    "failing": ("devices with a failure", True),
    "waiting": ("commands waiting", False),
    "alerts": ("open alerts", True),
    "ending": ("certificates that end within 60 days", True),
}


def frame(request: HttpRequest) -> dict[str, object]:
    """Context processor: `frame`, made when a template asks for it."""
    return {"frame": SimpleLazyObject(lambda: make_frame(request))}


def make_frame(request: HttpRequest) -> Frame:
    """The frame for the person who asks. Nobody without a right to these pages gets more than the name."""
    environment = "demo" if settings.DEMO else ""
    user = getattr(request, "user", None)
    if user is None or not (user.is_active and user.is_staff):
        return Frame(environment=environment)
    counts = current_counts(timezone.now())
    groups = [
        NavigationGroup(title, [
            _item(entry, address, path=request.path, counts=counts) for entry, address in allowed(request, entries)
        ])
        for title, entries in GROUPS
    ]  # fmt: skip
    return Frame([group for group in groups if group.items], reverse("search"), reverse("palette"), environment)


def allowed(request: HttpRequest, entries: tuple[Entry, ...]) -> list[tuple[Entry, str]]:
    """The entries that exist and that this person may follow, with their addresses."""
    found = [
        (entry, _address(entry.name)) for entry in entries if not entry.right or request.user.has_perm(entry.right)
    ]
    return [(entry, address) for entry, address in found if address]


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _item(entry: Entry, address: str, *, path: str, counts: Mapping[str, int]) -> NavigationItem:
    number = counts.get(entry.badge, 0)
    words, bad = BADGES.get(entry.badge, ("", False))
    below = (address,) if entry.name == "admin:index" else (address, *entry.also)
    current = "page" if path == address else ""
    if not current and entry.name != "admin:index" and path.startswith(below):
        current = "true"
    return NavigationItem(
        entry.label, address, entry.icon, current=current, badge=Badge(number, words, bad) if number else None
    )


def current_counts(now: datetime) -> dict[str, int]:
    """What is to be done in the whole fleet, in three statements, at most ten seconds old."""
    counts: dict[str, int] | None = cache.get(COUNTS_KEY)
    if counts is None:
        counts = _count(now)
        cache.set(COUNTS_KEY, counts, COUNTS_KEEP)
    return counts


def _count(now: datetime) -> dict[str, int]:
    before = now + SOON
    fleet = Device.objects.aggregate(failing=Count("pk", filter=Q(failed_count__gt=0)), waiting=Sum("waiting_count"))
    ending = PushCertificate.objects.expiring(before).values("pk")
    authorities = CertificateAuthority.objects.filter(not_after__lt=before).values("pk")
    return {
        "failing": fleet["failing"],
        "waiting": fleet["waiting"] or 0,
        "alerts": Alert.objects.filter(resolved_at=None).count(),
        "ending": ending.union(authorities, all=True).count(),
    }
