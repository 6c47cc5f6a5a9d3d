"""What people do to lineages, renewals and keys: each act calls the use case and leaves an audit event with it.

The admin's pages and actions are doors to these functions. Plans and roll-outs start on commit, inside the use cases.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import IO, Any

from django.db import transaction

from devices.models import DeviceGroup
from operations import audit
from operations.audit import Actor
from provisioning import assignment, enterprise_apps, lineages, uploading
from provisioning.models import AppVersion, Lineage, LineageAssignment
from provisioning.uploading import ReadUpload, TakenUpload

# What people decide of a lineage.
DECIDED = ("name", "policy", "lead_days", "canary_group", "api_key", "delete_at_apple")


@transaction.atomic
def assign(
    lineage: Lineage, group: DeviceGroup, *, excluded: bool, reason: str, actor: Actor, now: datetime
) -> LineageAssignment:
    """Want the lineage on the devices of a group, or on none of them."""
    made = assignment.assign(lineage, group, excluded=excluded, now=now)
    details = {"group": group.name, "excluded": excluded}
    audit.record(actor, "lineage.assign", subject=lineage, now=now, reason=reason, details=details)
    return made


@transaction.atomic
def unassign(rows: Iterable[LineageAssignment], *, reason: str, actor: Actor, now: datetime) -> int:
    """Take assignments back; how many there were."""
    count = 0
    for row in rows:
        details = {"group": row.group.name, "excluded": row.excluded}
        audit.record(actor, "lineage.unassign", subject=row.lineage, now=now, reason=reason, details=details)
        assignment.unassign(row)
        count += 1
    return count


@transaction.atomic
def change_settings(lineage: Lineage, changes: Mapping[str, Any], *, actor: Actor, now: datetime) -> list[str]:
    """Change what people decide of a lineage (the names in DECIDED); which of them changed."""
    # The lock closes the race with a renewal that makes another profile the current one.
    kept = Lineage.objects.select_for_update(of=("self",), no_key=True).get(pk=lineage.pk)
    changed = [name for name in DECIDED if name in changes and getattr(kept, name) != changes[name]]
    if not changed:
        return []
    before = {name: str(getattr(kept, name)) for name in changed}
    for name in changed:
        setattr(kept, name, changes[name])
    kept.save(update_fields=changed)
    if "lead_days" in changed and kept.current is not None:
        # When renewing should begin follows from the lead.
        lineages.set_current(kept, kept.current)
    details = {"before": before, "after": {name: str(getattr(kept, name)) for name in changed}}
    audit.record(actor, "lineage.change", subject=kept, now=now, details=details)
    return changed


@transaction.atomic
def retire(lineage: Lineage, *, reason: str, actor: Actor, now: datetime) -> None:
    """Renew and deliver the lineage no longer; what devices hold stays until it ends."""
    Lineage.objects.filter(pk=lineage.pk).update(retired_at=now)
    audit.record(actor, "lineage.retire", subject=lineage, now=now, reason=reason)


@transaction.atomic
def revive(lineage: Lineage, *, actor: Actor, now: datetime) -> None:
    """Renew and deliver a retired lineage again."""
    Lineage.objects.filter(pk=lineage.pk).update(retired_at=None)
    lineage.retired_at = None
    assignment.plan_soon(lineage)
    audit.record(actor, "lineage.revive", subject=lineage, now=now)


def take_upload(
    file: IO[bytes], read: ReadUpload, *, actor: Actor, now: datetime, reason: str = ""
) -> tuple[TakenUpload, AppVersion | None]:
    """Take a file in that was read; an .ipa is kept as a version of its app. A `reason` lets an older profile in.

    Raises ProvisioningRefused, and then nothing was written.
    """
    if read.ipa is None:
        forced = bool(reason)
        return uploading.take_upload(read, actor=actor, now=now, forced=forced, reason=reason), None
    version, taken = enterprise_apps.add_version(file, read, actor=actor, now=now)
    return taken, version
