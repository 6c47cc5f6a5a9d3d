"""How a bundle reaches its devices: channel, parts and their proof, and payloads that a device's connection hangs on.

Which channel takes what is Apple's schema; what can be proved is `devices.compliance`.
"""

from collections.abc import Iterator, Mapping, Sequence

from devices.compliance import Check, provable
from profiles import overlay
from profiles.checks.contents import Content, Item, own_keys, text_of
from profiles.checks.findings import Finding, Severity, counted
from profiles.checks.fleet import Segment, total
from profiles.models import Bundle, DeliveryRule, Part, Profile, Scope
from profiles.pairing import listed
from profiles.planning import PASSCODE_TYPE
from protocol.errors import PlistError
from protocol.plist import PlistValue, dumps, loads_dict
from protocol.schema import Catalogue

_MAC = "macOS"
# They are network payloads as far as others use them; by themselves they cut nothing off.
_CERTIFICATES = ("com.apple.security.", "com.apple.ADCertificate.")


def check_channel(bundle: Bundle, items: Sequence[Item], segments: Sequence[Segment]) -> Iterator[Finding]:
    """Payloads that do not work for the bundle's scope. Only macOS has both channels for every device."""
    macs = total(segments, lambda segment: segment.system == _MAC)
    others = total(segments) - macs
    if bundle.scope == Scope.USER and others:
        sentence = (
            f"A bundle for users goes to people's sessions on Macs only; {counted(others)} in scope will not get it."
        )
        yield Finding(Severity.WARNING, sentence, devices=others)
    for item in items:
        if item.facts is None:
            continue
        mac = item.facts.platforms.get(_MAC)
        if bundle.scope == Scope.USER and (mac is None or not mac.user_channel):
            what = "is not for Macs" if mac is None else "works for the whole Mac only"
            yield item.finding(Severity.ERROR, f"{what}, but the bundle is for users. Change the bundle's scope.")
        elif bundle.scope == Scope.SYSTEM and mac is not None and not mac.device_channel:
            if len(item.facts.platforms) == 1:
                sentence = "works only for a user of a Mac, but the bundle is for devices. Change the bundle's scope."
                yield item.finding(Severity.ERROR, sentence)
            elif macs:
                sentence = (
                    f"works only for users on a Mac; {counted(macs, 'Mac')} in scope will refuse it for the device."
                )
                yield item.finding(Severity.WARNING, sentence, devices=macs)


def check_parts(bundle: Bundle, parts: Mapping[Part, Sequence[Item]], segments: Sequence[Segment]) -> Iterator[Finding]:
    """Whether the requirement can be proved on the devices in scope, and whether anything waits for it at all."""
    if bundle.delivery_rule != DeliveryRule.AFTER_COMPLIANCE:
        return
    if Part.WHOLE in parts:
        roles = {item.role for item in parts[Part.WHOLE]}
        lacking = [role for role in ("requirement", "capability") if role not in roles]
        sentence = (
            f"The bundle has no {' and no '.join(lacking)}: it goes as one profile, and nothing waits for a proof."
        )
        yield Finding(Severity.NOTE, sentence)
        return
    types = {item.payload_type for item in parts[Part.REQUIREMENT]}
    checks = {Check.PROFILE, Check.PASSCODE} if PASSCODE_TYPE in types else {Check.PROFILE}
    unprovable: dict[str, int] = {}
    for segment in segments:
        for reason in provable(checks, segment.platform, segment.kind)[:1]:
            unprovable[reason] = unprovable.get(reason, 0) + segment.devices
    for reason, devices in unprovable.items():
        sentence = (
            f"{counted(devices)} in scope can never prove the requirement and will not get the capability: {reason}."
        )
        yield Finding(Severity.WARNING, sentence, devices=devices)


def check_lifelines(bundle: Bundle, items: Sequence[Item], devices: int, *, catalogue: Catalogue) -> Iterator[Finding]:
    """Network payloads that change or go: a device that reaches the portal through one could be cut off."""
    before = _published(bundle, catalogue)
    draft = {item.identifier: item for item in items}
    for identifier, (name, variant, content) in before.items():
        if not overlay.of(variant).network:
            continue
        now = draft.get(identifier)
        if now is None:
            sentence = (
                f'"{name}" is removed from {counted(devices)}: those that reach the portal only through it are cut off.'
            )
            yield Finding(Severity.WARNING, sentence, devices=devices)
        elif dumps(dict(now.content), sort_keys=True) != dumps(dict(content), sort_keys=True):
            where = f" on {counted(devices)}" if devices else ""
            sentence = f"changes{where}: a mistake can cut devices off from the portal. Try it on a few first."
            yield now.finding(Severity.WARNING, sentence, devices=devices)
    fresh = [item.name for item in items if item.identifier not in before and _cuts_off(item)]
    if fresh:
        sentence = f"{listed(fresh)}: a mistake here can cut devices off from the portal. Try it on a few first."
        yield Finding(Severity.NOTE, sentence)


def _cuts_off(item: Item) -> bool:
    return overlay.of(item.variant).network and not item.payload_type.startswith(_CERTIFICATES)


def _published(bundle: Bundle, catalogue: Catalogue) -> dict[str, tuple[str, str, Content]]:
    """The payloads of the current revision by identifier: name, variant and own keys. One statement."""
    if bundle.current_revision_id is None:
        return {}
    found: dict[str, tuple[str, str, Content]] = {}
    for profile in Profile.objects.filter(revision=bundle.current_revision_id).defer("signed"):
        for payload in payloads_of(profile):
            own = own_keys(payload, catalogue)
            facts = catalogue.match(text_of(payload, "PayloadType"), own)
            name = text_of(payload, "PayloadDisplayName") or text_of(payload, "PayloadType")
            found[text_of(payload, "PayloadIdentifier")] = (name, facts.variant if facts else "", own)
    return found


def payloads_of(profile: Profile) -> list[dict[str, PlistValue]]:
    """The payloads of a published profile; none where its content cannot be read."""
    try:
        inner = loads_dict(bytes(profile.content)).get("PayloadContent")
    except PlistError:
        return []
    return [payload for payload in inner if isinstance(payload, dict)] if isinstance(inner, list) else []
