"""Publishing: a bundle's draft becomes an immutable revision with its configuration profiles, signed once.

Which payloads go into which profile follows Apple's article on installing profiles: together, or the restriction
first. Who gets the profiles, and when, is `profiles.assignment`.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from certificates.authority import signer
from operations.background import start_on_commit
from profiles.errors import PublishError
from profiles.models import Bundle, DeliveryRule, Part, Payload, Profile, Revision, Role
from protocol.cms import sign_attached
from protocol.errors import PlistError
from protocol.mobileconfig import build_mobileconfig, content_uuid
from protocol.plist import PlistValue, dumps, loads_dict

Content = dict[str, PlistValue]


def publish(bundle: Bundle, *, by: AbstractBaseUser | None, now: datetime) -> Revision:
    """Make the next revision of a bundle and let the fleet be planned once this is committed.

    A part whose content did not change keeps its UUID, so that nothing is sent again for it. Raises PublishError.
    """
    from profiles import tasks

    with transaction.atomic():
        # Locked so that two people who publish at once do not both make the same number.
        bundle = Bundle.objects.select_for_update().get(pk=bundle.pk)
        payloads = list(bundle.payloads.all())
        contents = _read(payloads)
        last = bundle.revisions.aggregate(last=Max("number"))["last"] or 0
        revision = Revision.objects.create(
            bundle=bundle,
            number=last + 1,
            delivery_rule=bundle.delivery_rule,
            withdraw_on_regression=bundle.withdraw_on_regression,
            silent_days=bundle.silent_days,
            published_at=now,
            published_by_id=by.pk if by is not None else None,
        )
        for part, chosen in parts(bundle.delivery_rule, payloads).items():
            _render(revision, part, contents=[contents[payload.pk] for payload in chosen], now=now).save()
        bundle.current_revision = revision
        bundle.save(update_fields=["current_revision"])
        start_on_commit(tasks.plan_all)
    return revision


def parts(rule: str, payloads: Sequence[Payload]) -> dict[Part, list[Payload]]:
    """Which payloads stand in which profile. A bundle that lacks requirements or capabilities makes one profile."""
    capabilities = [payload for payload in payloads if payload.role == Role.CAPABILITY]
    has_requirement = any(payload.role == Role.REQUIREMENT for payload in payloads)
    if rule == DeliveryRule.TOGETHER or not capabilities or not has_requirement:
        return {Part.WHOLE: list(payloads)}
    first = [payload for payload in payloads if payload.role != Role.CAPABILITY]
    return {Part.REQUIREMENT: first, Part.CAPABILITY: capabilities}


def profile_identifier(bundle: Bundle, part: str) -> str:
    """The top-level PayloadIdentifier of a part.

    `whole` and `requirement` share one: when the delivery rule changes, the device replaces the one by the other
    and the restriction is in force all the time.
    """
    return f"{bundle.identifier}.capability" if part == Part.CAPABILITY else bundle.identifier


def _render(revision: Revision, part: Part, *, contents: Sequence[Content], now: datetime) -> Profile:
    bundle = revision.bundle
    identifier = profile_identifier(bundle, part)
    name = bundle.name if part == Part.WHOLE else f"{bundle.name} ({part})"
    content = build_mobileconfig(
        contents,
        identifier=identifier,
        uuid="",
        display_name=name,
        description=bundle.description,
        organization=settings.PORTAL_ORGANIZATION,
        # macOS would otherwise put settings of the device channel into one user's preferences.
        scope="System",
    )
    uuid = content_uuid(identifier, content)
    rendered = dumps({**content, "PayloadUUID": uuid})
    certificate, private_key, chain = signer(now)
    return Profile(
        revision=revision,
        part=part,
        identifier=identifier,
        uuid=uuid,
        display_name=name,
        payload_types=[str(payload["PayloadType"]) for payload in contents],
        content=rendered,
        signed=sign_attached(rendered, certificate, private_key=private_key, chain=chain),
    )


def _read(payloads: Sequence[Payload]) -> dict[int, Content]:
    """The payloads' dictionaries by primary key. Raises PublishError that names everything a device would refuse."""
    problems = [] if payloads else ["The bundle is empty: it has no payloads."]
    contents: dict[int, Content] = {}
    for payload in payloads:
        try:
            contents[payload.pk] = _common_keys(payload, loads_dict(bytes(payload.content)))
        except PlistError:
            problems.append(f'The content of "{payload.name}" is no property list.')
        if payload.payload_type == "com.apple.mdm":
            problems.append(f'"{payload.name}" is an enrollment; devices get that by an invitation only.')
    # Devices refuse both: MCProfileErrorDomain 1007 and 1008.
    for key, values in (
        ("PayloadIdentifier", [payload.payload_identifier for payload in payloads]),
        ("PayloadUUID", [payload.payload_uuid for payload in payloads]),
    ):
        twice = [value for value, count in Counter(values).items() if count > 1]
        problems += [f"Several payloads share the {key} {value}." for value in twice]
    if problems:
        raise PublishError(problems)
    return contents


def _common_keys(payload: Payload, content: Content) -> Content:
    """The row's columns are what the portal shows and compares; they win over the same keys in the content."""
    return {
        **content,
        "PayloadType": payload.payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": payload.payload_identifier,
        "PayloadUUID": payload.payload_uuid,
    }
