"""Bundles from files: what the command line (and whoever else has .mobileconfig files) does in one step.

All or nothing: when any file is refused, no bundle and no payload is written. Every act leaves its audit event.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from operations import audit
from operations.audit import Actor
from profiles import acts
from profiles.errors import BundleNotFound, ImportRefused
from profiles.importing import new_bundle
from profiles.models import Bundle, DeliveryRule, Payload, Role
from protocol.mobileconfig import Mobileconfig, parse_mobileconfig


def find_bundle(name: str) -> Bundle:
    """The bundle with this name. Raises BundleNotFound."""
    bundle = Bundle.objects.filter(name=name).first()
    if bundle is None:
        raise BundleNotFound(f'There is no bundle "{name}".')
    return bundle


@transaction.atomic
def import_file(
    data: bytes, *, name: str | None, role: str | None, into: str | None, actor: Actor, now: datetime
) -> tuple[Bundle, list[Payload]]:
    """Import one file into the bundle `into` (made when it is missing), or into a new one called `name`.

    Without either the new bundle is called as the file calls itself. Raises MobileconfigError or ImportRefused.
    """
    mobileconfig = parse_mobileconfig(data)
    bundle = Bundle.objects.filter(name=into).first() if into else None
    if bundle is None:
        title = into or name or mobileconfig.display_name or mobileconfig.identifier
        bundle = _create(
            title[:100], mobileconfig.description, rule=DeliveryRule.AFTER_COMPLIANCE, actor=actor, now=now
        )
    return bundle, acts.import_payloads(bundle, mobileconfig, role=role, actor=actor, now=now)


@transaction.atomic
def compose(
    name: str,
    *,
    requirements: Sequence[bytes],
    capabilities: Sequence[bytes],
    rule: str,
    actor: Actor,
    now: datetime,
) -> Bundle:
    """A new bundle of these files' payloads, each with the role of its file. Raises as `import_file` does."""
    files: list[tuple[Role, Mobileconfig]] = [
        (role, parse_mobileconfig(data))
        for role, group in ((Role.REQUIREMENT, requirements), (Role.CAPABILITY, capabilities))
        for data in group
    ]
    seen = Counter(str(payload["PayloadIdentifier"]) for _, mobileconfig in files for payload in mobileconfig.payloads)
    twice = [identifier for identifier, count in seen.items() if count > 1]
    if twice:
        # The second would silently replace the first, and the requirement might be gone.
        raise ImportRefused(f"Two of the files hold a payload with the identifier {twice[0][:100]}.")
    bundle = _create(name, "", rule=rule, actor=actor, now=now)
    for role, mobileconfig in files:
        acts.import_payloads(bundle, mobileconfig, role=role, actor=actor, now=now)
    return bundle


def _create(name: str, description: str, *, rule: str, actor: Actor, now: datetime) -> Bundle:
    bundle = new_bundle(name, now=now, rule=rule, description=description)
    audit.record(actor, "bundle.create", subject=bundle, now=now, details={"delivery_rule": rule})
    return bundle
