"""A draft becomes configuration profiles: which there are, what they say, what they are called. Nothing is stored here.

The same bytes are published (`profiles.publishing`), compared on the publish page and exported. Which payload stands
in which profile is `profiles.pairing`; a bundle with an original file is that file, whole and byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from profiles import pairing
from profiles.drafts import DraftPayload, draft_payload, whole_content
from profiles.errors import PublishError
from profiles.keytable import MASK, leaves
from profiles.models import Bundle, Part
from profiles.variables import names_in, secret_names
from protocol.errors import MobileconfigError
from protocol.mobileconfig import build_mobileconfig, content_uuid, unwrap_mobileconfig
from protocol.plist import PlistValue, dumps
from protocol.schema import Catalogue, packaged

__all__ = ["Built", "build", "profile_identifier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One configuration profile as it would be published; `signed` is set for a file delivered byte for byte only."""

    part: Part
    identifier: str
    uuid: str
    display_name: str
    payload_types: tuple[str, ...]
    variables: tuple[str, ...] = ()
    encrypt_to_device: bool = False
    content: bytes = field(repr=False)
    signed: bytes = field(default=b"", repr=False)


def build(bundle: Bundle, *, catalogue: Catalogue | None = None) -> list[Built]:
    """The profiles that the bundle's draft makes, in one statement.

    Raises PublishError for an original file that cannot be read (any more).
    """
    if bundle.original:
        return [_original(bytes(bundle.original))]
    payloads = [draft_payload(row) for row in bundle.payloads.all()]
    texts = pairing.texts(bundle, payloads)
    chosen = pairing.parts(bundle.delivery_rule, payloads)
    known = catalogue or packaged()
    return [_built(bundle, part, rows, text=texts[part], catalogue=known) for part, rows in chosen.items()]


def profile_identifier(bundle: Bundle, part: str) -> str:
    """The top-level PayloadIdentifier of a part.

    `whole` and `requirement` share one: when the delivery rule changes, the device replaces the one by the other
    and the restriction is in force all the time.
    """
    return f"{bundle.identifier}.capability" if part == Part.CAPABILITY else bundle.identifier


def _built(
    bundle: Bundle, part: Part, payloads: Sequence[DraftPayload], *, text: tuple[str, str], catalogue: Catalogue
) -> Built:
    identifier, (name, description) = profile_identifier(bundle, part), text
    content = build_mobileconfig(
        [whole_content(payload) for payload in payloads],
        identifier=identifier,
        uuid="",
        display_name=name,
        description=description,
        organization=settings.PORTAL_ORGANIZATION,
        # Always said: macOS would otherwise put settings of the device channel into one user's preferences.
        scope=bundle.scope,
        removal_disallowed=bundle.removal_disallowed,
        consent_text=bundle.consent_text,
    )
    uuid = content_uuid(identifier, content)
    variables = sorted(names_in(content))
    return Built(
        part=part,
        identifier=identifier,
        uuid=uuid,
        display_name=name,
        payload_types=tuple(payload.payload_type for payload in payloads),
        variables=tuple(variables),
        encrypt_to_device=bundle.encrypt_to_device and _holds_secrets(payloads, variables, catalogue),
        content=dumps({**content, "PayloadUUID": uuid}),
    )


def _holds_secrets(payloads: Sequence[DraftPayload], variables: Sequence[str], catalogue: Catalogue) -> bool:
    """Whether there is something to hide: a stored secret, or a key with a secret in it."""
    if secret_names(variables):
        return True
    return any(
        leaf.is_secret and leaf.text == MASK
        for payload in payloads
        for leaf in leaves(payload.variant, payload.content, catalogue=catalogue)
    )


def _original(data: bytes) -> Built:
    try:
        profile, _ = unwrap_mobileconfig(data)
    except MobileconfigError as error:
        raise PublishError([f"The file that devices would get cannot be read: {error}"]) from None
    content: Mapping[str, PlistValue] = profile.content
    return Built(
        part=Part.WHOLE,
        identifier=profile.identifier,
        uuid=profile.uuid,
        display_name=profile.display_name or profile.identifier,
        payload_types=profile.payload_types,
        content=dumps(dict(content)),
        signed=data,
    )
