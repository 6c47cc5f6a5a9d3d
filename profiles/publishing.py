"""Publishing: a bundle's draft becomes an immutable revision with its configuration profiles, signed once.

What they hold is `profiles.building`, what stops a publish `profiles.checks`. A profile with a device's own values is
signed when the device asks (`profiles.rendering`). Who gets the profiles, and when, is `profiles.assignment`.
"""

from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from certificates.authority import signer
from operations.background import start_on_commit
from profiles import catalogue, checks, drafts
from profiles.building import Built, build
from profiles.checks import Severity
from profiles.errors import DraftConflict, PublishError
from profiles.models import Bundle, Profile, Revision
from protocol.cms import sign_attached


def publish(
    bundle: Bundle,
    *,
    by: AbstractBaseUser | None,
    now: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> Revision:
    """Make the next revision of a bundle and let the fleet be planned once this is committed.

    A part whose content did not change keeps its UUID, so that nothing is sent again for it. Raises PublishError with
    everything that stops it, or DraftConflict when the draft is no longer the version that somebody looked at.
    """
    from profiles import tasks

    with transaction.atomic():
        # Locked so that two people who publish at once do not both make the same number.
        bundle = Bundle.objects.select_for_update().get(pk=bundle.pk)
        if expected_version is not None and expected_version != bundle.draft_version:
            raise DraftConflict(bundle.draft_version)
        built = _checked(bundle, now)
        last = bundle.revisions.aggregate(last=Max("number"))["last"] or 0
        revision = Revision.objects.create(
            bundle=bundle,
            number=last + 1,
            delivery_rule=bundle.delivery_rule,
            withdraw_on_regression=bundle.withdraw_on_regression,
            silent_days=bundle.silent_days,
            draft=drafts.dumps(drafts.read_draft(bundle)),
            reason=reason,
            published_at=now,
            published_by_id=by.pk if by is not None else None,
        )
        for profile in built:
            _profile(revision, profile, now).save()
        bundle.current_revision = revision
        bundle.save(update_fields=["current_revision"])
        start_on_commit(tasks.plan_all)
    return revision


def signed(content: bytes, now: datetime) -> bytes:
    """A property list signed as profiles are: attached CMS by the portal's authority."""
    certificate, private_key, chain = signer(now)
    return sign_attached(content, certificate, private_key=private_key, chain=chain)


def _checked(bundle: Bundle, now: datetime) -> list[Built]:
    known = catalogue.current()
    findings = checks.check_bundle(bundle, now=now, catalogue=known)
    errors = [finding.sentence for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise PublishError(errors)
    return build(bundle, catalogue=known)


def _profile(revision: Revision, built: Built, now: datetime) -> Profile:
    per_device = built.variables or built.encrypt_to_device
    return Profile(
        revision=revision,
        part=built.part,
        identifier=built.identifier,
        uuid=built.uuid,
        display_name=built.display_name[:255],
        payload_types=list(built.payload_types),
        variables=list(built.variables),
        encrypt_to_device=built.encrypt_to_device,
        content=built.content,
        signed=built.signed or (b"" if per_device else signed(built.content, now)),
    )
