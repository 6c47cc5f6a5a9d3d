"""Admin pages that touch several apps: accounts and roles, and groups of devices, whose change means a new plan."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

import profiles.tasks
import provisioning.tasks
from certificates.admin import IssuedCertificateAdmin
from certificates.models import IssuedCertificate
from devices import acts
from devices.admin.device import DeviceAdmin, DeviceGroupAdmin
from devices.models import Device, DeviceGroup, Enrollment
from devices.plans import BATCH
from operations.audited import AuditedAdmin
from operations.background import start_on_commit
from operations.confirmation import ask

admin.site.unregister(User)
admin.site.unregister(Group)


class Checkboxes:
    """Sets as checkboxes: Django's two lists with arrows need scripts, and their labels are not read out."""

    filter_horizontal = ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["widget"] = CheckboxSelectMultiple()
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None:
            field.help_text = ""
        return field


@admin.register(User)
class AuditedUserAdmin(Checkboxes, AuditedAdmin, UserAdmin):  # type: ignore[type-arg,misc]  # generic in the stubs only
    """Who may sign in, and what they may do."""

    list_title = "Accounts"
    readonly_fields = ["last_login", "date_joined"]


@admin.register(Group)
class AuditedGroupAdmin(Checkboxes, AuditedAdmin, GroupAdmin):  # type: ignore[misc]  # the stubs want Django's own signature
    """Roles: named sets of permissions."""

    list_title = "Roles"
    empty_words = "No roles yet. A role is a set of rights that several people have."


class Planning:
    """Groups and what people say of a device decide what it gets: plan at once rather than at the next sweep."""

    def memberships_changed(self, devices: Iterable[Device]) -> None:
        channels = Enrollment.objects.enrolled().filter(device__in=list(devices))
        ids = list(channels.values_list("pk", flat=True))
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            start_on_commit(profiles.tasks.plan_enrollments, batch)
            start_on_commit(provisioning.tasks.plan_enrollments, batch)

    def description_changed(self, device: Device) -> None:
        self.memberships_changed([device])


@admin.register(Device)
class PlannedDeviceAdmin(Planning, DeviceAdmin):
    """Devices, with a plan after their memberships were confirmed or their users named."""


@admin.register(DeviceGroup)
class PlannedDeviceGroupAdmin(Planning, DeviceGroupAdmin):
    """Groups, with a plan after their members changed."""


@admin.register(IssuedCertificate)
class RevocableCertificateAdmin(IssuedCertificateAdmin):
    """Issued certificates; revoking a device's identity cuts the device off, so it is asked and recorded."""

    actions = ["revoke"]
    row_actions = ["revoke"]
    dangerous_actions = ["revoke"]

    @admin.action(description="Revoke…", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[IssuedCertificate]) -> HttpResponse | None:
        identities = queryset.filter(purpose=IssuedCertificate.Purpose.IDENTITY, revoked_at=None)
        sentence = (
            "The devices that hold these identities are not believed any more: they get nothing from the portal until they "
            "enroll again with a new invitation. What is installed on them stays. This cannot be taken back."
        )
        answer = ask(self, request, queryset=identities, action="revoke", title="Revoke identities", sentence=sentence)
        if isinstance(answer, HttpResponse):
            return answer
        count = acts.revoke_certificates(identities, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} certificates revoked.")
        return None

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("certificates.change_issuedcertificate")
