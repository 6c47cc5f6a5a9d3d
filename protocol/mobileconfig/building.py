"""Building a configuration profile around payloads, and naming it by its content.

Top-level keys after Apple's schema, mdm/profiles/TopLevel.yaml. Signing is
`protocol.cms`, filling in a device's values the caller's work.
"""

from __future__ import annotations

import hashlib
import uuid as uuids
from collections.abc import Mapping, Sequence

from protocol.plist import PlistValue, dumps

__all__ = ["build_mobileconfig", "content_uuid"]

# Names content, so that equal content has equal UUIDs in every portal. Must never change.
_NAMESPACE = uuids.UUID("5cbc5b3c-2f4e-5a53-9d55-5a0d1f4a7c11")


def build_mobileconfig(
    payloads: Sequence[Mapping[str, PlistValue]],
    *,
    identifier: str,
    uuid: str,
    display_name: str,
    description: str = "",
    organization: str = "",
    scope: str | None = None,
    removal_disallowed: bool = False,
    consent_text: str = "",
) -> dict[str, PlistValue]:
    """The top level around payloads. `scope` is "System", "User" or None (macOS only); empty texts stay out."""
    content: dict[str, PlistValue] = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": uuid,
        "PayloadDisplayName": display_name,
    }
    if description:
        content["PayloadDescription"] = description
    if organization:
        content["PayloadOrganization"] = organization
    if scope is not None:
        content["PayloadScope"] = scope
    if removal_disallowed:
        content["PayloadRemovalDisallowed"] = True
    if consent_text:
        content["ConsentText"] = {"default": consent_text}
    content["PayloadContent"] = [dict(payload) for payload in payloads]
    return content


def content_uuid(identifier: str, content: Mapping[str, PlistValue]) -> str:
    """The top-level PayloadUUID of rendered content: equal for equal content, whatever the order of its keys.

    UUIDv5 over the identifier and the SHA-256 of the plist without its own top-level PayloadUUID,
    in upper case. Raises PlistError when the content cannot be written.
    """
    without_uuid: dict[str, PlistValue] = {key: value for key, value in content.items() if key != "PayloadUUID"}
    digest = hashlib.sha256(dumps(without_uuid, sort_keys=True)).hexdigest()
    return str(uuids.uuid5(_NAMESPACE, f"{digest}:{identifier}")).upper()
