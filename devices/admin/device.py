"""Devices and their groups: lists to read, and the acts people may do to devices, each with its own right."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices import acts, bulk
from devices.models import Device, DeviceGroup
from operations.audited import AuditedAdmin
from operations.confirmation import ConfirmationForm, ask
from portal_ui.admin import Tools, moment_column

# What people say of a device; everything else it says itself.
DESCRIPTION = ("user_name", "user_full_name", "user_email", "asset_tag")


class MembershipAdmin:
    """What changes who is in a group, or what a profile may name, tells the room above, which plans these devices."""

    def memberships_changed(self, devices: Iterable[Device]) -> None:
        """Called after the change; the room above overrides it."""

    def description_changed(self, device: Device) -> None:
        """Called after the change; the room above overrides it."""


class LockForm(ConfirmationForm):
    """DeviceLock's parameters; a Mac needs a six-digit PIN and reboots into it."""

    message = forms.CharField(max_length=500, required=False, label="Message on the lock screen")
    phone_number = forms.CharField(max_length=50, required=False, label="Phone number on the lock screen")
    pin = forms.RegexField(r"^\d{6}$", required=False, label="PIN (Macs only)", help_text="Six digits; kept encrypted.")


class EraseForm(ConfirmationForm):
    """EraseDevice's parameters."""

    pin = forms.RegexField(
        r"^\d{6}$", required=False, label="PIN (older Macs only)", help_text="Six digits; kept encrypted."
    )


class TroubleFilter(admin.SimpleListFilter):
    """Devices on which something is waiting or has failed."""

    title = "trouble"
    parameter_name = "trouble"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "something is waiting"), ("failed", "something failed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        counters = {"waiting": "waiting_count__gt", "failed": "failed_count__gt"}
        chosen = counters.get(self.value() or "")
        return queryset.filter(**{chosen: 0}) if chosen else queryset


class GroupFilter(admin.SimpleListFilter):
    """Members of a static group; `all` has no membership rows and is no filter."""

    title = "group"
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        groups = DeviceGroup.objects.exclude(name=DeviceGroup.ALL).values_list("pk", "name")
        return [(str(pk), name) for pk, name in groups]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        value = self.value() or ""
        return queryset.filter(memberships__group=int(value)) if value.isdecimal() else queryset


class DeviceAdmin(MembershipAdmin, AuditedAdmin):
    """Facts to read; only who uses a device and what IT calls it is written here."""

    list_display = [
        "title",
        "serial_number",
        "system",
        "standing",
        "waiting",
        "failed",
        "seen",
    ]
    list_display_links = None
    list_filter = ["state", TroubleFilter, "platform", GroupFilter]
    search_fields = ["serial_number", "name", "udid"]
    search_help_text = "Name or serial number"
    actions = ["push_now", "refresh_inventory", "lock", "restart", "clear_passcode", "erase", "confirm_memberships"]
    row_actions = ["push_now", "refresh_inventory", "restart", "lock", "clear_passcode", "erase"]
    dangerous_actions = ["clear_passcode", "erase"]
    list_tabs = [
        ("All", ""),
        ("Problems", "trouble=failed"),
        ("Waiting", "trouble=waiting"),
        ("Not enrolled", "state__in=pending,unenrolled"),
    ]
    empty_words = "No devices yet. A device appears here as soon as somebody opens an invitation on it."

    @admin.display(description="device", ordering="name")
    def title(self, device: Device) -> SafeString:
        # The page that shows several apps at once lives above this one: linked by name, never imported.
        return format_html('<a href="{}">{}</a>', reverse("device_page", args=[device.pk]), str(device))

    @admin.display(description="system", ordering="os_version")
    def system(self, device: Device) -> str:
        return f"{device.platform} {device.os_version}".strip() or "not told"

    @admin.display(description="state", ordering="state")
    def standing(self, device: Device) -> SafeString:
        pill = '<span class="portal-pill portal-{}">{}</span> {}'
        return format_html(pill, device.state, device.get_state_display().capitalize(), device.state_reason)

    @admin.display(description="waiting", ordering="waiting_count")
    def waiting(self, device: Device) -> int:
        return device.waiting_count

    @admin.display(description="failed", ordering="failed_count")
    def failed(self, device: Device) -> int:
        return device.failed_count

    seen = moment_column("last_seen_at", "last seen")

    def list_tools(self, request: HttpRequest) -> Tools:
        return [("Invite devices", reverse("invite"))] if request.user.has_perm("devices.add_invitation") else []

    def object_tools(self, request: HttpRequest, obj: Device) -> Tools:
        return [("Device page", reverse("device_page", args=[obj.pk]))]

    def get_fields(self, request: HttpRequest, obj: Device | None = None) -> Any:
        said = [field.name for field in self.opts.concrete_fields if field.name not in {"id", *DESCRIPTION}]
        return [*DESCRIPTION, *said]

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> Any:
        return [name for name in self.get_fields(request, obj) if name not in DESCRIPTION]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Device, form: Any, change: bool) -> None:  # noqa: FBT001
        # Only these columns: the device may have reported others since the page was opened.
        changed = [name for name in DESCRIPTION if name in form.changed_data]
        obj.save(update_fields=changed)
        if changed:
            self.description_changed(obj)

    def _act(
        self, request: HttpRequest, queryset: QuerySet[Device], *, request_type: str, **words: Any
    ) -> HttpResponse:
        """Ask, then send `request_type` to every selected device; the operation's page tells each outcome."""
        answer = ask(self, request, queryset=queryset, describe=acts.full_name, **words)
        if isinstance(answer, HttpResponse):
            return answer
        operation = bulk.start(
            queryset, request_type, values=answer.values, reason=answer.reason, actor=request.user, now=timezone.now()
        )
        return redirect("admin:operations_operation_change", operation.pk)

    @admin.action(description="Push now", permissions=["push"])
    def push_now(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        count = acts.push_now(queryset, actor=request.user, now=timezone.now())
        messages.success(request, f"Push on its way to {count} enrollments.")

    @admin.action(description="Refresh inventory", permissions=["push"])
    def refresh_inventory(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        count = acts.refresh_inventory(queryset, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} questions queued; answers arrive as the devices check in.")

    @admin.action(description="Lock…", permissions=["lock"])
    def lock(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse:
        return self._act(
            request,
            queryset,
            request_type="DeviceLock",
            action="lock",
            title="Lock devices",
            sentence="Each device locks its screen as soon as it checks in. A Mac restarts and asks for the PIN you give here.",
            form_class=LockForm,
        )

    @admin.action(description="Restart…", permissions=["restart"])
    def restart(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse:
        return self._act(
            request,
            queryset,
            request_type="RestartDevice",
            action="restart",
            title="Restart devices",
            sentence="Each device restarts as soon as it checks in. iPhones and iPads must be supervised.",
        )

    @admin.action(description="Clear passcode…", permissions=["clear_passcode"])
    def clear_passcode(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse:
        return self._act(
            request,
            queryset,
            request_type="ClearPasscode",
            action="clear_passcode",
            title="Clear passcodes",
            sentence="Whoever holds the device can open it afterwards. Never do this for a lost device.",
        )

    @admin.action(description="Erase…", permissions=["erase"])
    def erase(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse:
        return self._act(
            request,
            queryset,
            request_type="EraseDevice",
            action="erase",
            title="Erase devices",
            sentence="Everything on these devices is deleted and cannot be brought back. They leave management.",
            form_class=EraseForm,
        )

    @admin.action(description="Confirm group memberships…", permissions=["confirm"])
    def confirm_memberships(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse | None:
        answer = ask(
            self,
            request,
            queryset=queryset,
            describe=acts.full_name,
            action="confirm_memberships",
            title="Confirm group memberships",
            sentence="These devices enrolled again with a new certificate. Confirm that they are the devices you know; "
            "their groups then count again.",
        )
        if isinstance(answer, HttpResponse):
            return answer
        count = acts.confirm_memberships(queryset, reason=answer.reason, actor=request.user, now=timezone.now())
        self.memberships_changed(queryset)
        messages.success(request, f"{count} memberships count again.")
        return None

    def has_push_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.push_device")

    def has_lock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.lock_device")

    def has_restart_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.restart_device")

    def has_clear_passcode_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.clear_passcode")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.erase_device")

    def has_confirm_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.change_membership")


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Devices are picked by serial number or UDID, one a line, as they come out of a spreadsheet."""

    add = forms.CharField(
        required=False, widget=forms.Textarea, label="Add devices", help_text="Serial numbers or UDIDs, one a line."
    )
    remove = forms.CharField(
        required=False, widget=forms.Textarea, label="Remove devices", help_text="Serial numbers or UDIDs, one a line."
    )

    class Meta:
        model = DeviceGroup
        fields = ["name", "description"]

    def clean_add(self) -> list[Device]:
        return self._devices("add")

    def clean_remove(self) -> list[Device]:
        return self._devices("remove")

    def _devices(self, field: str) -> list[Device]:
        # Apple writes both in upper case; spreadsheets do not always.
        words = {word.upper() for word in self.cleaned_data[field].split()}
        found: list[Device] = []
        for chunk in _chunks(sorted(words)):
            found += Device.objects.filter(Q(serial_number__in=chunk) | Q(udid__in=chunk))
        unknown = words - {device.serial_number for device in found} - {device.udid for device in found}
        if unknown:
            raise forms.ValidationError("No such device: " + ", ".join(sorted(unknown)[:20]) + ".")
        return found


def _chunks(words: list[str], size: int = 500) -> list[list[str]]:
    """SQLite takes a limited number of parameters in one statement."""
    return [words[start : start + size] for start in range(0, len(words), size)]


class DeviceGroupAdmin(MembershipAdmin, AuditedAdmin):
    """Static groups; `devices.acts` writes the members, so that each change is audited."""

    form = GroupForm
    list_display = ["name", "description"]
    search_fields = ["name"]
    empty_words = "No groups yet. Bundles are assigned to groups of devices."

    def get_fields(self, request: HttpRequest, obj: DeviceGroup | None = None) -> Any:
        fields = ["name", "description"]
        may_change = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [*fields, "add", "remove"] if may_change else fields

    def object_tools(self, request: HttpRequest, obj: DeviceGroup) -> Tools:
        where = "state__exact=enrolled" if obj.is_all else f"group={obj.pk}"
        return [("Devices in this group", f"{reverse('admin:devices_device_changelist')}?{where}")]

    def save_model(self, request: HttpRequest, obj: DeviceGroup, form: Any, change: bool) -> None:  # noqa: FBT001
        now = timezone.now()
        if not change:
            obj.created_at = now
        super().save_model(request, obj, form, change)
        added, removed = form.cleaned_data["add"], form.cleaned_data["remove"]
        if added or removed:
            acts.change_group(obj, added=added, removed=removed, actor=request.user, now=now)
            self.memberships_changed([*added, *removed])

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.is_all)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Deleting a group would take its bundles off every member at once; emptying it is explicit and audited.
        return False
