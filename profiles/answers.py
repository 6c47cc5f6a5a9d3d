"""Stored answers of devices as the facts that proof and verdicts are made of.

What cannot be read says nothing: it neither proves nor disproves. Devices are hostile until shown otherwise.
"""

from collections import defaultdict

from devices.compliance import ProfileListFact, SecurityFact
from devices.models import Inventory
from protocol.errors import PlistError
from protocol.plist import PlistValue, loads_dict


def listed_profiles(inventory: Inventory) -> dict[str, set[str]] | None:
    """PayloadUUIDs (upper case) by PayloadIdentifier of a ProfileList answer; None when it holds no list."""
    items = _content(inventory).get("ProfileList")
    if not isinstance(items, list):
        return None
    listed: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if isinstance(item, dict):
            identifier, uuid = item.get("PayloadIdentifier"), item.get("PayloadUUID")
            if isinstance(identifier, str) and isinstance(uuid, str):
                listed[identifier].add(uuid.strip().upper())
    return dict(listed)


def list_fact(inventory: Inventory | None) -> ProfileListFact | None:
    """The ProfileList for judging. Of several profiles under one identifier any may count: Apple forbids that."""
    listed = listed_profiles(inventory) if inventory is not None else None
    if inventory is None or listed is None:
        return None
    profiles = {identifier: max(uuids) for identifier, uuids in listed.items()}
    return ProfileListFact(profiles=profiles, asked_at=inventory.asked_at, reported_at=inventory.reported_at)


def security_fact(inventory: Inventory | None) -> SecurityFact | None:
    """The SecurityInfo for judging."""
    if inventory is None:
        return None
    values = _content(inventory).get("SecurityInfo")
    if not isinstance(values, dict):
        return None
    return SecurityFact(values=values, asked_at=inventory.asked_at, reported_at=inventory.reported_at)


def _content(inventory: Inventory) -> dict[str, PlistValue]:
    try:
        return loads_dict(bytes(inventory.content))
    except PlistError:
        return {}
