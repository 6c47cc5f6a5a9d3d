"""Revisions to look back at: the draft that each was published from, to compare with and to restore.

Revisions from before drafts were kept are read from their profiles: what a device would tell apart is all there.
"""

from django.db.models import QuerySet

from profiles import drafts
from profiles.differences import title_of
from profiles.drafts import Content, Draft, DraftPayload
from profiles.importing import default_role
from profiles.keytable import Leaf, leaves
from profiles.models import Bundle, Part, Profile, Revision, Role
from protocol.errors import PlistError
from protocol.plist import PlistValue, loads_dict
from protocol.schema import Catalogue, packaged


def listed(bundle: Bundle) -> QuerySet[Revision]:
    """The revisions of a bundle, the newest first, without their drafts."""
    return bundle.revisions.select_related("published_by", "bundle").defer("draft").order_by("-number")


def draft_of(revision: Revision, *, catalogue: Catalogue | None = None) -> Draft:
    """The draft that a revision was published from. Raises PlistError when its bytes cannot be read."""
    if revision.draft:
        return drafts.loads(bytes(revision.draft))
    profiles = {profile.part: profile for profile in revision.profiles.all()}
    ordered = [profiles[part] for part in (Part.WHOLE, Part.REQUIREMENT, Part.CAPABILITY) if part in profiles]
    contents = [(profile, loads_dict(bytes(profile.content))) for profile in ordered]
    payloads = [
        _payload(profile, content, catalogue or packaged())
        for profile, whole in contents
        for content in _payloads(whole)
    ]
    return Draft({**_settings(revision), **_texts(contents)}, tuple(payloads))


def tables_of(profile: Profile, *, catalogue: Catalogue) -> list[tuple[str, str, list[Leaf]]]:
    """Name, type and keys of each payload of a published profile, secrets masked; empty when it cannot be read."""
    try:
        payloads = [_payload(profile, content, catalogue) for content in _payloads(loads_dict(bytes(profile.content)))]
    except PlistError:
        return []
    return [
        (title_of(payload), payload.payload_type, list(leaves(payload.variant, payload.content, catalogue=catalogue)))
        for payload in payloads
    ]


def _settings(revision: Revision) -> dict[str, str | int | bool]:
    """The bundle's settings as they are now, with those that the revision kept."""
    names = ("delivery_rule", "withdraw_on_regression", "silent_days")
    now = {name: getattr(revision.bundle, name) for name in drafts.SETTINGS}
    return {**now, **{name: getattr(revision, name) for name in names}}


def _texts(contents: list[tuple[Profile, Content]]) -> dict[str, str | int | bool]:
    """What users read, so that publishing it again makes the same bytes."""
    found: dict[str, str | int | bool] = {"removal_disallowed": False, "consent_text": ""}
    for profile, content in contents:
        name, description = str(content.get("PayloadDisplayName", "")), str(content.get("PayloadDescription", ""))
        if profile.part == Part.WHOLE:
            found |= {"name": name[:100], "description": description[:255]}
        else:
            found |= {f"{profile.part}_name": name[:100], f"{profile.part}_description": description[:1000]}
    return found


def _payloads(whole: Content) -> list[Content]:
    found: PlistValue = whole.get("PayloadContent", [])
    return [payload for payload in found if isinstance(payload, dict)] if isinstance(found, list) else []


def _payload(profile: Profile, content: Content, catalogue: Catalogue) -> DraftPayload:
    payload_type = str(content.get("PayloadType", ""))
    facts = catalogue.match(payload_type, content)
    role = default_role(payload_type)
    if profile.part == Part.CAPABILITY:
        role = Role.CAPABILITY
    elif profile.part == Part.REQUIREMENT and role == Role.CAPABILITY:
        role = Role.NEUTRAL
    return DraftPayload(
        identifier=str(content.get("PayloadIdentifier", "")),
        uuid=str(content.get("PayloadUUID", "")),
        payload_type=payload_type,
        variant=facts.variant if facts else "",
        role=role,
        name=str(content.get("PayloadDisplayName", "") or payload_type)[:255],
        content=drafts.own_content(content),
    )
