"""Stored secrets: what they are called, who uses them, and a way to replace a value that nobody ever reads back."""

from functools import cache
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from devices.acts import full_name
from devices.models import Device
from operations.confirmation import ConfirmationForm, ask
from portal_ui.admin import PortalAdmin, Tools, moment_column
from profiles import secrets
from profiles.errors import SecretError
from profiles.models import Installation, Secret
from profiles.variables import SECRET, placeholder

CHANGE, DELETE = "profiles.change_secret", "profiles.delete_secret"


def _value_field(**options: Any) -> forms.CharField:
    # Never rendered back, whatever the form says; spaces may be part of it.
    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"})
    return forms.CharField(strip=False, widget=widget, max_length=10_000, **options)


def _file_field() -> forms.FileField:
    return forms.FileField(
        required=False, label="or a file", help_text="A key or anything else that is no single line."
    )


def _with_value(said: dict[str, Any]) -> dict[str, Any]:
    """The cleaned data with `new_value` as bytes, typed or from the file; ValidationError unless it is one of them."""
    typed, upload = said.get("new_value", ""), said.get("file")
    if bool(typed) == bool(upload):
        raise forms.ValidationError("Give the value: type it, or choose a file.")
    if upload is not None and upload.size > secrets.LARGEST:
        raise forms.ValidationError(f"The file is larger than {secrets.LARGEST // 1024 // 1024} MiB.")
    return {**said, "new_value": typed.encode() if upload is None else upload.read()}


class SecretForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A new secret: typed, or from a file when it is no single line."""

    # "value" is the model's own, which no form may show.
    new_value = _value_field(required=False, label="Value", help_text="Never shown again.")
    file = _file_field()

    class Meta:
        model = Secret
        fields = ["name", "note"]

    def clean(self) -> dict[str, Any]:
        return _with_value(super().clean() or {})


class ReplaceForm(ConfirmationForm):
    """The new value, on the page that says how many devices it reaches."""

    new_value = _value_field(required=False, label="New value", help_text="Never shown again.")
    file = _file_field()

    def clean(self) -> dict[str, Any]:
        return _with_value(super().clean() or {})


@admin.register(Secret)
class SecretAdmin(PortalAdmin):
    """Acts are those of `profiles.secrets`, which record them; the stock change and deletion are closed."""

    form = SecretForm
    list_display = ["name", "stored", "note", "changed"]
    search_fields = ["name", "note"]
    actions: Any = []
    empty_words = "No secrets yet. One is stored when a password is typed into a payload, or added here."

    changed = moment_column("changed_at", "changed")

    @admin.display(description="stored", ordering="length")
    def stored(self, secret: Secret) -> str:
        return f"{secret.length} characters, version {secret.version}"

    @admin.display(description="in payloads")
    def written(self, secret: Secret) -> SafeString:
        return format_html("<code>{}</code>", placeholder(SECRET + secret.name))

    @admin.display(description="used by")
    def used_by(self, secret: Secret) -> SafeString | str:
        return _bundles(secrets.usage(secret))

    def get_list_display(self, request: HttpRequest) -> Any:
        found = cache(secrets.usages)

        @admin.display(description="used by")
        def used_by(secret: Secret) -> SafeString | str:
            return _bundles(found().get(secret.name, secrets.Usage()))

        return [*super().get_list_display(request), used_by]

    def get_fields(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        if obj is None:
            return ["name", "new_value", "file", "note"]
        return ["name", "written", "stored", "note", "used_by", "created_at", "changed_at", "changed_by"]

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        return [] if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/replace/", wrap(self.replace_page), name="profiles_secret_replace"),
            path("<int:pk>/forget/", wrap(self.forget_page), name="profiles_secret_forget"),
        ]
        return own + super().get_urls()

    def object_tools(self, request: HttpRequest, obj: Secret) -> Tools:
        offered = [("Replace value…", "replace", CHANGE), ("Delete…", "forget", DELETE)]
        return [
            (label, reverse(f"admin:profiles_secret_{page}", args=[obj.pk]))
            for label, page, right in offered
            if request.user.has_perm(right)
        ]

    @method_decorator(sensitive_post_parameters("new_value"))
    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().add_view(request, *args, **kwargs)
        except SecretError:
            # Somebody took the name between the form's question and the answer: the form sees it now, and says so.
            return super().add_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Secret, form: Any, change: bool) -> None:  # noqa: FBT001
        said = form.cleaned_data
        # Never `store`: it would give the secret of whoever was faster another value.
        made = secrets.store_new(
            said["name"], said["new_value"], actor=request.user, now=timezone.now(), note=said["note"]
        )
        obj.pk = made.pk

    def _secret(self, request: HttpRequest, pk: int, *, right: str) -> Secret:
        secret: Secret | None = self.get_object(request, str(pk))
        if not request.user.has_perm(right) or secret is None:
            raise PermissionDenied
        return secret

    @method_decorator(sensitive_post_parameters("new_value"))
    def replace_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET says which devices a new value reaches, POST stores it."""
        secret = self._secret(request, pk, right=CHANGE)
        devices = devices_with(secret)
        sentence = (
            f"{devices.count()} devices hold profiles with this secret, or wait for them; they get them again with the new "
            "value as soon as they check in. Drafts need no change."
        )
        answer = ask(
            self,
            request,
            queryset=devices,
            action="replace",
            title=f"Replace {secret}",
            sentence=sentence,
            form_class=ReplaceForm,
            describe=full_name,
        )
        if isinstance(answer, HttpResponse):
            return answer
        again = secrets.rotate(
            secret, answer.values["new_value"], reason=answer.reason, actor=request.user, now=timezone.now()
        )
        news = f"{again} has a new value." if again.version != secret.version else f"{again} has that value already."
        messages.success(request, news)
        return redirect("admin:profiles_secret_change", pk)

    def forget_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks, POST deletes; refused while anything names it."""
        secret = self._secret(request, pk, right=DELETE)
        used = secrets.usage(secret)
        if used:
            messages.error(request, f"{secret} is used by {', '.join(str(bundle) for bundle in used.bundles)}.")
            return redirect("admin:profiles_secret_change", pk)
        answer = ask(
            self,
            request,
            queryset=Secret.objects.none(),
            action="forget",
            title=f"Delete {secret}",
            sentence="Nothing uses it. Older revisions that named it cannot be published again without it.",
        )
        if isinstance(answer, HttpResponse):
            return answer
        try:
            secrets.delete(secret, reason=answer.reason, actor=request.user, now=timezone.now())
        except SecretError as error:
            messages.error(request, str(error))
            return redirect("admin:profiles_secret_change", pk)
        messages.success(request, f"{secret} is deleted.")
        return redirect("admin:profiles_secret_changelist")


def devices_with(secret: Secret) -> QuerySet[Device]:
    """The enrolled devices on which a current profile that names the secret is wanted."""
    rows = Installation.objects.filter(wanted=True, profile__in=secrets.profiles_with(secret))
    return Device.objects.filter(state=Device.State.ENROLLED, pk__in=rows.values("enrollment__device"))


def _bundles(used: secrets.Usage) -> SafeString | str:
    """Each bundle with its page, and whether only its draft names the secret."""
    if not used:
        return "nothing"
    return format_html_join(
        ", ",
        '<a href="{}">{}</a>{}',
        (
            (
                reverse("admin:profiles_bundle_change", args=[bundle.pk]),
                str(bundle),
                "" if bundle in used.published else " (draft)",
            )
            for bundle in used.bundles
        ),
    )
