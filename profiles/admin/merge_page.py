"""When somebody else saved in between: both changes put together key by key, and a page for what both changed.

What was typed waits encrypted in the database under a token, so that it is neither lost nor sent back in clear. The
token is signed for this bundle, since other pages hold whatever bytes somebody uploads. Merging itself is `profiles.merging`, writing `profiles.editing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from django.contrib import messages
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal_ui.admin import ModelAdmin
from profiles import catalogue, drafts, editing, secrets
from profiles.admin.frame import get_bundle, render
from profiles.drafts import Draft, DraftPayload
from profiles.editing import PayloadEdit, merged_content
from profiles.errors import SecretError
from profiles.merging import Merge, merge
from profiles.models import Bundle, Payload
from protocol.errors import PlistError
from protocol.plist import dumps as dump_plist
from protocol.plist import loads_dict

Change: TypeAlias = Callable[[Draft], Draft]
GONE = "What you had typed is no longer kept. Look at the draft and change it again."


def payload_change(payload: Payload, edit: PayloadEdit) -> Change:
    """What somebody wanted to do to one payload, for whatever draft."""
    content = drafts.own_content(merged_content(payload, edit))

    def changed(row: DraftPayload) -> DraftPayload:
        if row.identifier != payload.payload_identifier:
            return row
        return replace(row, name=edit.name, role=edit.role, content=content)

    return lambda draft: replace(draft, payloads=tuple(changed(row) for row in draft.payloads))


def settings_change(settings: Mapping[str, Any]) -> Change:
    """What somebody wanted to do to the bundle's own settings, for whatever draft."""
    said = {name: value for name, value in settings.items() if name in drafts.SETTINGS}
    return lambda draft: replace(draft, settings={**draft.settings, **said})


def conflict(
    admin: ModelAdmin,
    request: HttpRequest,
    bundle: Bundle,
    *,
    base_version: int,
    change: Change,
    secrets_by_name: Mapping[str, bytes] | None = None,
) -> HttpResponse:
    """Save both changes where they touch different keys, else the page that asks; `base_version` was looked at.

    Where that version is no longer kept, everything that differs is asked.
    """
    base = drafts.snapshot_at(bundle, base_version)
    mine = change(base or drafts.read_draft(bundle))
    work = _Work(base=base, mine=mine, secrets=dict(secrets_by_name or {}))
    token = secrets.hold(work.dumps(), file_name="", user=request.user, now=timezone.now())  # type: ignore[arg-type]
    return _merge(admin, request, bundle, work=work, token=token)


def merge_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """POST: what was chosen for each key that both changed."""
    bundle = get_bundle(admin, request, pk)
    token = _unsigned(bundle, request.POST.get("token", ""))
    packed = secrets.held(token, user=request.user)  # type: ignore[arg-type]
    work = _Work.loads(packed) if packed else None
    if work is None:
        messages.error(request, GONE)
        return redirect("admin:profiles_bundle_change", pk)
    return _merge(admin, request, bundle, work=work, token=token)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What somebody wanted to save: from which draft, to which draft, with which new secrets."""

    base: Draft | None
    mine: Draft
    secrets: Mapping[str, bytes] = field(repr=False)

    def dumps(self) -> bytes:
        base = drafts.dumps(self.base) if self.base else b""
        return dump_plist({"base": base, "mine": drafts.dumps(self.mine), "secrets": dict(self.secrets)})

    @classmethod
    def loads(cls, packed: bytes) -> "_Work | None":
        """None for something else that this person had held."""
        try:
            said: dict[str, Any] = loads_dict(packed)
            base = drafts.loads(said["base"]) if said["base"] else None
            return cls(base=base, mine=drafts.loads(said["mine"]), secrets=said["secrets"])
        except (PlistError, KeyError, TypeError, AttributeError):
            return None


def _merge(admin: ModelAdmin, request: HttpRequest, bundle: Bundle, *, work: _Work, token: str) -> HttpResponse:
    """Save when every conflict is decided for the draft as it is now, else ask."""
    bundle.refresh_from_db()
    theirs, choices = drafts.read_draft(bundle), _choices(request)
    merged = merge(work.base, work.mine, theirs, choices=choices, catalogue=catalogue.current())
    undecided = [conflict for conflict in merged.conflicts if conflict.key not in choices]
    if not undecided:
        try:
            editing.save_merged(
                bundle,
                merged.draft,
                secrets_by_name=work.secrets,
                expected_version=bundle.draft_version,
                actor=request.user,
                now=timezone.now(),
            )
        except (drafts.DraftConflict, SecretError):
            messages.warning(request, "The draft was saved once more in this moment. Choose again.")
        else:
            secrets.release(token, user=request.user)  # type: ignore[arg-type]
            messages.success(request, _saved(bundle, merged))
            return redirect("admin:profiles_bundle_change", bundle.pk)
    context: dict[str, Any] = {
        "conflicts": [(conflict, choices.get(conflict.key)) for conflict in merged.conflicts],
        "token": _signer(bundle).sign(token),
        "kept": work.base is not None,
    }
    title = "Somebody else changed this draft"
    return render(admin, request, "merge.html", bundle=bundle, title=title, status=409, **context)


def _signer(bundle: Bundle) -> Signer:
    return Signer(salt=f"profiles.merge.{bundle.pk}")


def _unsigned(bundle: Bundle, token: str) -> str:
    """The token, if a page about this bundle gave it out; else "", under which nothing is held."""
    try:
        return _signer(bundle).unsign(token)
    except BadSignature:
        return ""


def _choices(request: HttpRequest) -> dict[str, str]:
    """ "mine" or "theirs" by a conflict's key; keys may hold any sign, so they stand in fields of their own."""
    found = {}
    for number, key in enumerate(request.POST.getlist("conflict")):
        said = request.POST.get(f"take-{number}")
        if said in {"mine", "theirs"}:
            found[key] = said
    return found


def _saved(bundle: Bundle, merged: Merge) -> str:
    count = len(merged.conflicts)
    if not count:
        return f"Somebody else saved {bundle} meanwhile. Their changes and yours do not touch: both are in the draft."
    return f"Both people's changes of {bundle} are in the draft; {count} key{'' if count == 1 else 's'} as you chose."
