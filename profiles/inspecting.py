"""What a configuration profile would bring into a bundle, said before anything is written: the import report.

Per payload what Apple's schema knows, does not know, and no longer wants, and which values are secrets; the signer apart
from the content. Values are never quoted. Reading the file is `protocol.mobileconfig`, bringing it in `profiles.composing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from profiles import overlay
from profiles.checks.contents import Item, Spot, read_foreign, walk
from profiles.importing import ENROLLMENT_TYPES, default_role
from profiles.models import Scope
from profiles.variables import names_in
from protocol.mobileconfig import Mobileconfig, ReadFile, SignerReport
from protocol.mobileprovision import APPLE_ROOTS, Roots
from protocol.plist import PlistValue
from protocol.schema import Catalogue, PayloadFacts, PlatformFacts, Problem, check_payload

_MOST_NAMED = 50
_LONGEST_NAME = 120
# Where no schema tells which key is a password: names that say so.
_CALLED_SECRET = re.compile(r"pass(word|phrase)|secret|token|private.?key", re.IGNORECASE)
_NOT_TAKEN = ("HasRemovalPasscode", "RemovalDate", "DurationUntilRemoval", "PayloadExpirationDate", "TargetDeviceType")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadReport:
    """One payload of the file: how many of its keys the schema knows, and the paths and sentences for the rest."""

    name: str
    payload_type: str
    variant: str
    title: str
    role: str
    known: int
    kept: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerSummary:
    """Who signed the file; the signature fits. Moments as ISO 8601."""

    subject: str
    issuer: str
    not_before: str
    not_after: str
    self_signed: bool
    expired: bool
    trusted: bool

    @property
    def sentence(self) -> str:
        """How much that signature is worth today, in words."""
        how = "leads to Apple" if self.trusted else "is self-signed" if self.self_signed else "does not lead to Apple"
        when = f"; the certificate ran out on {self.not_after[:10]}" if self.expired else ""
        return f"The signature fits the content. Its certificate {how}{when}."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """The whole file. `refusal` says why its payloads cannot come into a bundle, `exact_refusal` why not the file itself."""

    name: str
    identifier: str
    organization: str
    description: str
    form: str
    size: int
    settings: Mapping[str, str | bool] = field(default_factory=dict)
    signer: SignerSummary | None = None
    payloads: tuple[PayloadReport, ...] = ()
    mended: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    exact_refusal: str = ""

    @property
    def known(self) -> int:
        """Keys that Apple's schema knows."""
        return sum(payload.known for payload in self.payloads)

    @property
    def kept(self) -> int:
        """Keys that it does not know, which stay as they are."""
        return sum(len(payload.kept) for payload in self.payloads)

    @property
    def deprecated(self) -> int:
        """Keys and payloads that Apple no longer wants."""
        return sum(len(payload.deprecated) for payload in self.payloads)

    @property
    def secrets(self) -> int:
        """Values that become stored secrets."""
        return sum(len(payload.secrets) for payload in self.payloads)

    @property
    def problems(self) -> int:
        """What Apple's schema or our rules find wrong."""
        return sum(len(payload.problems) for payload in self.payloads)

    @property
    def summary(self) -> str:
        """ "6 payloads, 143 keys known, 2 kept as they are, 1 deprecated, 2 secrets"."""
        counts = [_counted(len(self.payloads), "payload"), f"{_counted(self.known, 'key')} known"]
        counts += [f"{self.kept} kept as they are"] if self.kept else []
        counts += [f"{self.deprecated} deprecated"] if self.deprecated else []
        counts += [_counted(self.secrets, "secret")] if self.secrets else []
        counts += [_counted(self.problems, "problem")] if self.problems else []
        return ", ".join(counts)

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values, the summary first."""
        return {"summary": self.summary, **asdict(self)}


def inspect(read: ReadFile, *, catalogue: Catalogue, now: datetime, roots: Roots = APPLE_ROOTS) -> ImportReport:
    """What the file would bring. Writes nothing and asks no database. `now` is aware UTC."""
    mobileconfig = read.mobileconfig
    items = read_foreign(mobileconfig.payloads, catalogue)
    settings, lost = settings_of(mobileconfig)
    enrollments = sorted(ENROLLMENT_TYPES.intersection(mobileconfig.payload_types))
    return ImportReport(
        name=mobileconfig.display_name or mobileconfig.identifier,
        identifier=mobileconfig.identifier,
        organization=mobileconfig.organization,
        description=mobileconfig.description,
        form=read.form.value,
        size=len(read.original),
        settings=settings,
        signer=_signer(read.signer, now=now, roots=roots) if read.signer else None,
        payloads=tuple(_payload(item) for item in items),
        mended=read.mended[:_MOST_NAMED],
        warnings=(*read.warnings, *lost),
        refusal="It holds an enrollment. Devices get that by an invitation only." if enrollments else "",
        exact_refusal=why_not_exact(read),
    )


def why_not_exact(read: ReadFile) -> str:
    """Why devices cannot get this very file; empty when they can."""
    if read.signer is None:
        return "Only a signed file can be delivered byte for byte: the portal signs everything else itself."
    if not read.is_deliverable_as_it_is and not read.mended:
        return "Devices read signed files in their binary form (DER) only: choose that one to deliver it byte for byte."
    if read.mended:
        return "Devices would refuse the file as it is, so that it cannot be delivered byte for byte."
    if ENROLLMENT_TYPES.intersection(read.mobileconfig.payload_types):
        return "It holds an enrollment. Devices get that by an invitation only."
    return ""


def settings_of(mobileconfig: Mobileconfig) -> tuple[dict[str, str | bool], list[str]]:
    """The columns of a bundle that the file's top level says something about, and what it says that no bundle can."""
    content, lost = mobileconfig.content, []
    settings: dict[str, str | bool] = {}
    scope = content.get("PayloadScope")
    if isinstance(scope, str) and scope.strip().title() in Scope.values:
        settings["scope"] = scope.strip().title()
    elif scope is not None:
        lost.append("Its PayloadScope is neither System nor User; System is taken.")
    if content.get("PayloadRemovalDisallowed") is True:
        settings["removal_disallowed"] = True
    if mobileconfig.description.strip():
        settings["description"] = mobileconfig.description.strip()[:255]
    consent, more = _consent(content.get("ConsentText"))
    if consent:
        settings["consent_text"] = consent
    lost += [f"Of its consent texts only the first is taken, not: {more}."] if more else []
    lost += [f"{key} is not taken over: a bundle has no such setting." for key in _NOT_TAKEN if key in content]
    return settings, lost


def secret_spots(item: Item) -> list[Spot]:
    """The values that are passwords or keys in clear: those that the overlay marks and that name no variable."""
    paths = overlay.secret_paths(item.variant) if item.facts else frozenset()
    return [spot for spot in walk(item) if spot.schema_path in paths and _is_clear(spot.value)]


def _is_clear(value: PlistValue) -> bool:
    return isinstance(value, str | bytes) and bool(value) and not names_in(value)


def _payload(item: Item) -> PayloadReport:
    spots = list(walk(item))
    kept = _kept(item, spots)
    return PayloadReport(
        name=item.name[:_LONGEST_NAME],
        payload_type=item.payload_type[:_LONGEST_NAME],
        variant=item.facts.variant if item.facts else "",
        title=overlay.title_of(item.facts.variant) if item.facts else item.payload_type[:_LONGEST_NAME],
        role=default_role(item.payload_type).value,
        known=sum(1 for spot in spots if isinstance(spot.path[-1], str)),
        kept=tuple(kept),
        deprecated=tuple(_deprecated(item.facts, spots)) if item.facts else (),
        secrets=tuple(spot.where for spot in secret_spots(item)),
        problems=tuple([*_problems(item), *_perhaps_secret(kept)][:_MOST_NAMED]),
    )


def _kept(item: Item, spots: Sequence[Spot]) -> list[str]:
    """Paths of keys that the schema does not know; keys inside a dictionary that takes any are known enough."""
    if item.facts is not None and not item.facts.keys:
        return []
    known = {spot.path for spot in spots}
    inner = [(spot.path, spot.value) for spot in spots if isinstance(spot.value, dict) and not spot.key.is_open]
    levels: list[tuple[tuple[str | int, ...], Mapping[str, PlistValue]]] = [((), item.content)]
    levels += [(path, value) for path, value in inner if isinstance(value, dict)]
    unknown = [(*path, name) for path, value in levels for name in value if (*path, name) not in known]
    return [Problem(path, "").where[:_LONGEST_NAME] for path in unknown]


def _deprecated(facts: PayloadFacts, spots: Iterable[Spot]) -> Iterable[str]:
    """Sentences about the payload, or else its keys, that every platform deprecated or removed."""
    whole = _verdict(facts.platforms)
    if whole:
        yield f"The whole payload is {whole}."
        return
    said: set[tuple[str | int, ...]] = set()
    for spot in spots:
        verdict = _verdict(spot.key.platforms)
        if verdict:
            # Outermost first: what is around a key says it for all inside.
            if not any(spot.path[:length] in said for length in range(1, len(spot.path))):
                yield f"{spot.where[:_LONGEST_NAME]} is {verdict}."
            said.add(spot.path)


def _verdict(platforms: Mapping[str, PlatformFacts]) -> str:
    if not platforms:
        return ""
    if all(said.removed for said in platforms.values()):
        return "removed: " + ", ".join(f"{name} {said.removed}" for name, said in platforms.items())
    if all(said.deprecated or said.removed for said in platforms.values()):
        return "deprecated: " + ", ".join(
            f"{name} {said.deprecated or said.removed}" for name, said in platforms.items()
        )
    return ""


def _problems(item: Item) -> list[str]:
    """What the schema and our rules find, as sentences with the key's path; duplicates of "unknown" are not among them."""
    if item.facts is None:
        return []
    shown = overlay.visible(item.variant, item.content)
    found = [problem for problem in check_payload(item.facts, item.content) if not shown.hides(problem.path)]
    found += [problem for _, problem in overlay.judge(item.variant, item.content)]
    return [f"{problem.where[:_LONGEST_NAME]} {problem.sentence}".strip() for problem in found]


def _perhaps_secret(kept: Iterable[str]) -> list[str]:
    named = [path for path in kept if _CALLED_SECRET.search(path.rsplit(".", 1)[-1])]
    return [f"{path} may be a password; nobody but its author knows. Store it as a secret if it is." for path in named]


def _consent(texts: PlistValue | None) -> tuple[str, str]:
    """The consent text for everybody, and the languages that are left out."""
    if not isinstance(texts, dict):
        return "", ""
    said = {name: text.strip() for name, text in texts.items() if isinstance(text, str) and text.strip()}
    if not said:
        return "", ""
    first = "default" if "default" in said else next(iter(said))
    return said[first][:4000], ", ".join(name[:20] for name in said if name != first)


def _signer(report: SignerReport, *, now: datetime, roots: Roots) -> SignerSummary:
    return SignerSummary(
        subject=report.subject,
        issuer=report.issuer,
        not_before=report.not_before.isoformat(),
        not_after=report.not_after.isoformat(),
        self_signed=report.self_signed,
        expired=report.is_expired(now),
        trusted=report.leads_to(roots),
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
