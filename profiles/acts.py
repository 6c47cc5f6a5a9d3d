"""What people do to bundles: each act calls the use case and leaves an audit event in the same transaction.

The admin's pages and actions are doors to these functions. Plans start on commit, inside the use cases.
"""

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from devices.models import DeviceGroup
from operations import audit
from operations.audit import Actor
from operations.background import start_on_commit
from profiles import assignment, building, checks, drafts, installations, publishing, revisions
from profiles.checks import Severity
from profiles.errors import PublishError
from profiles.models import Assignment, Bundle, Installation, Profile, Revision

_CHUNK = 500


@transaction.atomic
def publish(
    bundle: Bundle, *, reason: str, actor: Actor, now: datetime, expected_version: int | None = None
) -> Revision:
    """Make the next revision of the bundle's draft. Raises PublishError or DraftConflict, and then nothing is changed."""
    by = actor if isinstance(actor, AbstractBaseUser) else None
    findings = checks.check_bundle(bundle, now=now)
    revision = publishing.publish(bundle, by=by, now=now, reason=reason, expected_version=expected_version)
    warnings = sum(1 for finding in findings if finding.severity is Severity.WARNING)
    details = {"revision": revision.number, "warnings": warnings}
    audit.record(actor, "bundle.publish", subject=bundle, now=now, reason=reason, details=details)
    return revision


@transaction.atomic
def restore(
    bundle: Bundle, revision: Revision, *, expected_version: int, reason: str, actor: Actor, now: datetime
) -> None:
    """Make a revision of this bundle the draft again; nothing is published. Raises DraftConflict."""
    drafts.touch(bundle, expected_version=expected_version, actor=actor, now=now)
    drafts.apply(bundle, revisions.draft_of(revision))
    drafts.snapshot(bundle, now)
    details = {"revision": revision.number, "draft": bundle.draft_version}
    audit.record(actor, "bundle.restore", subject=bundle, now=now, reason=reason, details=details)


@transaction.atomic
def assign(
    bundle: Bundle, group: DeviceGroup, *, excluded: bool, reason: str, actor: Actor, now: datetime
) -> Assignment:
    """Want the bundle on the devices of a group, or on none of them."""
    made = assignment.assign(bundle, group, now=now, excluded=excluded)
    details = {"group": group.name, "excluded": excluded}
    audit.record(actor, "bundle.assign", subject=bundle, now=now, reason=reason, details=details)
    return made


@transaction.atomic
def unassign(assignments: Iterable[Assignment], *, reason: str, actor: Actor, now: datetime) -> int:
    """Take assignments back; how many there were."""
    count = 0
    for row in assignments:
        count += assignment.unassign(row.bundle, row.group)
        details = {"group": row.group.name, "excluded": row.excluded}
        audit.record(actor, "bundle.unassign", subject=row.bundle, now=now, reason=reason, details=details)
    return count


def retry(rows: QuerySet[Installation], *, actor: Actor, now: datetime) -> int:
    """Start again what failed; on how many enrollments."""
    from profiles import tasks

    pks, enrollments = list(rows.order_by("pk").values_list("pk", flat=True)), 0
    with transaction.atomic():
        for start in range(0, len(pks), _CHUNK):
            ids = installations.retry(pks[start : start + _CHUNK], now)
            enrollments += len(ids)
            start_on_commit(tasks.plan_enrollments, ids)
        audit.record(
            actor, "installation.retry", subject=None, now=now, label=f"{len(pks)} installations", details={"pks": pks}
        )
    return enrollments


@transaction.atomic
def export(profile: Profile, *, actor: Actor, now: datetime, signed: bool = True) -> bytes:
    """A published profile as a file: the signed bytes exactly as devices get them, or the XML inside.

    Where devices get values of their own the file holds their names, never a stored secret. It is recorded who took it.
    """
    details = {"uuid": profile.uuid, "signed": signed}
    audit.record(actor, "profile.export", subject=profile, now=now, details=details)
    if not signed:
        return bytes(profile.content)
    return bytes(profile.signed) or publishing.signed(bytes(profile.content), now)


@transaction.atomic
def export_draft(bundle: Bundle, part: str, *, actor: Actor, now: datetime, signed: bool = True) -> bytes:
    """A profile of the draft as a file, as it would be published now. Raises PublishError where there is none."""
    built = next((profile for profile in building.build(bundle) if profile.part == part), None)
    if built is None:
        raise PublishError([f'The draft makes no profile "{part}".'])
    details = {"part": part, "draft": bundle.draft_version, "signed": signed}
    audit.record(actor, "draft.export", subject=bundle, now=now, details=details)
    if not signed:
        return built.content
    return built.signed or publishing.signed(built.content, now)
