"""API keys of Apple's two APIs: adding one (its file is never shown again), trying it, forgetting it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from operations import audit
from operations.confirmation import ask
from portal_ui.admin import PortalAdmin, moment_column
from provisioning import keys
from provisioning.admin.frame import render
from provisioning.keys import KeyRefused
from provisioning.models import ApiKey, DeveloperTeam, KeyState, Lineage, Program

ADD, CHANGE, DELETE = (f"provisioning.{verb}_apikey" for verb in ("add", "change", "delete"))
_LARGEST = 16 * 1024
_TONES = {KeyState.UNCHECKED: "note", KeyState.WORKING: "good", KeyState.FAILING: "bad"}
# Arguments of add_key that have another name in the form.
_FIELDS = {"private_key_pem": "file"}


class KeyForm(forms.Form):
    """A team key as Apple hands it out, once."""

    program = forms.ChoiceField(
        choices=Program.choices, widget=forms.RadioSelect, label="Program",
        help_text="The file does not tell which one it was made for; with the wrong one Apple refuses the key.",
    )  # fmt: skip
    team_identifier = forms.RegexField(
        r"^\s*[A-Za-z0-9]{10}\s*$", label="Team ID", max_length=16, error_messages={"invalid": "A team ID has ten letters and digits."},
        help_text="Ten letters and digits, under Membership at developer.apple.com.",
    )  # fmt: skip
    file = forms.FileField(
        label="Key file", help_text="AuthKey_….p8. It is stored encrypted and never shown again.",
        widget=forms.FileInput(attrs={"accept": ".p8"}),
    )  # fmt: skip
    key_id = forms.CharField(
        required=False, max_length=32, label="Key ID", help_text="Empty: as in the file's name, AuthKey_….p8."
    )
    issuer_id = forms.CharField(
        max_length=64, label="Issuer ID", help_text="The UUID above the list of team keys. Individual keys have none and do not do."
    )  # fmt: skip

    def clean_file(self) -> "UploadedFile[Any]":
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > _LARGEST:
            raise forms.ValidationError("The file is far larger than any key.")
        return file


@admin.register(ApiKey)
class ApiKeyAdmin(PortalAdmin):
    """Acts are those of `provisioning.keys`, which record them; the stock change and deletion are closed."""

    list_title = "API keys"
    list_display = ["key_id", "team", "program", "standing", "checked", "worked", "requests_left"]
    list_select_related = ["team"]
    list_filter = ["state", "program"]
    search_fields = ["key_id", "team__name", "team__identifier"]
    actions: Any = []
    empty_words = (
        "No API keys yet. With a team key of Apple's the portal makes new provisioning profiles by itself; without one, "
        "somebody uploads each new file."
    )
    fields = readonly_fields = [  # type: ignore[assignment]
        "key_id", "team", "program", "issuer_id", "standing", "checked_at", "last_ok_at", "requests_left", "renews",
        "added_at", "added_by",
    ]  # fmt: skip
    change_form_template = "provisioning/key.html"

    checked = moment_column("checked_at", "tried")
    worked = moment_column("last_ok_at", "worked")

    @admin.display(description="state", ordering="state")
    def standing(self, key: ApiKey) -> SafeString:
        pill = '<span class="portal-pill portal-{}">{}</span> {}'
        return format_html(pill, _TONES[KeyState(key.state)], key.get_state_display(), key.error)

    @admin.display(description="requests left")
    def requests_left(self, key: ApiKey) -> str:
        return "" if key.rate_remaining is None else f"{key.rate_remaining} of {key.rate_limit} this hour"

    @admin.display(description="renews")
    def renews(self, key: ApiKey) -> str:
        """The lineages that name it; those of its team that name none may use it too."""
        count = Lineage.objects.active().filter(api_key=key).count()
        free = Lineage.objects.active().filter(api_key=None, team=key.team).count()
        return f"{count} lineages name it, {free} of its team name no key"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/test/", require_POST(wrap(self.test)), name="provisioning_apikey_test"),
            path("<int:pk>/forget/", wrap(self.forget_page), name="provisioning_apikey_forget"),
        ]
        return own + super().get_urls()

    # --- adding -----------------------------------------------------------------------------------------------------

    @method_decorator([never_cache, sensitive_post_parameters()])
    @sensitive_variables("form")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = KeyForm(request.POST or None, request.FILES or None, label_suffix="")
        made = self._add(request, form) if form.is_valid() else None
        if made is not None:
            messages.success(request, f"The key {made.key_id} is stored. Try it now.")
            return redirect("admin:provisioning_apikey_change", made.pk)
        sentence = (
            "A team key lets the portal make provisioning profiles at Apple. It needs the role Admin, or Developer in the "
            "Enterprise Program."
        )
        return render(
            self, request, "form.html", title="Add API key", status=400 if form.is_bound else 200, form=form,
            sentence=sentence, method="post", button="Store the key", list_title=self.list_title,
            list_url=reverse("admin:provisioning_apikey_changelist"),
        )  # fmt: skip

    @staticmethod
    @sensitive_variables()
    def _add(request: HttpRequest, form: KeyForm) -> ApiKey | None:
        said, now = form.cleaned_data, timezone.now()
        team, _ = DeveloperTeam.objects.get_or_create(
            identifier=said["team_identifier"].strip().upper(), defaults={"created_at": now}
        )
        try:
            return keys.add_key(
                team,
                program=said["program"],
                key_id=said["key_id"] or keys.key_id_in(said["file"].name or ""),
                issuer_id=said["issuer_id"],
                private_key_pem=said["file"].read(),
                actor=request.user,
                now=now,
            )
        except KeyRefused as error:
            form.add_error(_FIELDS.get(error.field, error.field), error.reason)
            return None

    # --- one key ----------------------------------------------------------------------------------------------------

    def _key(self, request: HttpRequest, pk: int, *, right: str) -> ApiKey:
        key = ApiKey.objects.select_related("team").defer("private_key").filter(pk=pk).first()
        if not request.user.has_perm(right) or key is None:
            raise PermissionDenied
        return key

    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST: ask Apple whether it accepts the key."""
        key, now = self._key(request, pk, right=CHANGE), timezone.now()
        error = keys.check_key(key, now=now)
        details = {"works": error is None, "kind": error.kind.value if error is not None else ""}
        audit.record(request.user, "api_key.test", subject=key, now=now, details=details)
        if error is None:
            messages.success(request, f"Apple accepts the key {key.key_id}.")
        else:
            messages.error(request, error.sentence)
        return redirect("admin:provisioning_apikey_change", pk)

    def forget_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET says what stops, POST forgets the key."""
        key = self._key(request, pk, right=DELETE)
        sentence = (
            "These lineages name it and are not renewed by it any more. At Apple the key stays valid: revoke it there."
        )
        answer = ask(
            self, request, queryset=Lineage.objects.active().filter(api_key=key), action="forget", sentence=sentence,
            title=f"Delete the key {key.key_id}",
        )  # fmt: skip
        if isinstance(answer, HttpResponse):
            return answer
        keys.remove_key(key, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"The key {key.key_id} is deleted here.")
        return redirect("admin:provisioning_apikey_changelist")

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        context["may_test"], context["may_delete"] = request.user.has_perm(CHANGE), request.user.has_perm(DELETE)
        return super().render_change_form(request, context, *args, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("provisioning.view_apikey")
