"""Devices for the tests of this package: rows in the database, and phones that work their queue off by themselves.

A phone takes its open commands, does them, and its answers go through the endpoint's own handlers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from devices.commands import params_of
from devices.models import Command, CommandState, Device, Enrollment, EnrollmentState, Platform, PushState
from endpoint import handlers
from protocol.identity import EnrollmentIdentity, EnrollmentKind
from protocol.mobileprovision import read_provisioning_profile
from protocol.reports import ErrorChainItem, Report, Status
from provisioning.delivery import render_install
from tests.protocol.provisioning_files import roots

NUMBERS = count(1)
DOMAIN = "MCProvisioningProfileErrorDomain"
CLOSING = {Status.ACKNOWLEDGED: CommandState.ACKNOWLEDGED, Status.ERROR: CommandState.ERROR}


def enrollments(number: int, now: datetime) -> list[Enrollment]:
    """So many enrolled devices, in bulk."""
    devices = Device.objects.bulk_create(
        Device(udid=f"PHONE-{next(NUMBERS):08}", platform=Platform.IOS, state=Device.State.ENROLLED, created_at=now)
        for _ in range(number)
    )
    return Enrollment.objects.bulk_create(
        Enrollment(
            device=device, kind=EnrollmentKind.DEVICE, enrollment_id=device.udid, state=EnrollmentState.ENROLLED,
            push_state=PushState.OK, authenticated_at=now, enrolled_at=now,
        )
        for device in devices
    )  # fmt: skip


@dataclass
class Phone:
    """One device: the provisioning profiles it holds (UUID -> end), and how it answers."""

    enrollment: Enrollment
    held: dict[str, datetime] = field(default_factory=dict)
    # Profiles that came inside an app: listed, but not to be removed.
    embedded: dict[str, datetime] = field(default_factory=dict)
    refuses: bool = False
    forgets: bool = False
    removed: list[str] = field(default_factory=list)
    installs: int = 0

    def connect(self, now: datetime) -> int:
        """Work off everything that is open; how many commands that was."""
        done = 0
        while command := self._next():
            if done > 50:
                raise AssertionError(f"{command.request_type} comes again and again")
            Command.objects.filter(pk=command.pk).update(state=CommandState.SENT, sent_at=now)
            status, body, chain = self._do(command, now)
            Command.objects.filter(pk=command.pk).update(state=CLOSING[status], completed_at=now, error_chain=[])
            command.refresh_from_db()
            identity = EnrollmentIdentity(EnrollmentKind.DEVICE, self.enrollment.enrollment_id)
            report = Report(
                identity=identity,
                status=status,
                status_text=status.value,
                command_uuid=command.uuid,
                error_chain=chain,
                body=body,
            )
            handlers.handle(command, report, now)
            done += 1
        Enrollment.objects.filter(pk=self.enrollment.pk).update(last_seen_at=now)
        return done

    def is_covered(self, now: datetime) -> bool:
        """Whether the app launches: any profile that has not ended will do."""
        return any(end > now for end in (*self.held.values(), *self.embedded.values()))

    def _next(self) -> Command | None:
        rows = Command.objects.open().filter(enrollment=self.enrollment).order_by("priority", "pk")
        return rows.select_related("enrollment").first()

    def _do(self, command: Command, now: datetime) -> tuple[Status, dict, tuple[ErrorChainItem, ...]]:
        params = params_of(command)
        match command.request_type:
            case "InstallProvisioningProfile":
                return self._install(render_install(params).provisioning_profile, now)
            case "RemoveProvisioningProfile":
                return self._remove(str(params["UUID"]))
            case "ProvisioningProfileList":
                held = {**self.embedded, **self.held}
                entries = [
                    {"Name": "a profile", "UUID": uuid, "ExpiryDate": end.replace(tzinfo=None)}
                    for uuid, end in held.items()
                ]
                return Status.ACKNOWLEDGED, {"ProvisioningProfileList": entries}, ()
        return Status.ACKNOWLEDGED, {}, ()

    def _install(self, data: bytes, now: datetime) -> tuple[Status, dict, tuple[ErrorChainItem, ...]]:
        self.installs += 1
        profile = read_provisioning_profile(data, roots=roots())
        if self.refuses or profile.expires_at <= now:
            return Status.ERROR, {}, (_item(25001),)
        if not self.forgets:
            self.held[profile.uuid] = profile.expires_at
        return Status.ACKNOWLEDGED, {}, ()

    def _remove(self, uuid: str) -> tuple[Status, dict, tuple[ErrorChainItem, ...]]:
        if uuid not in self.held:
            return Status.ERROR, {}, (_item(25002),)
        del self.held[uuid]
        self.removed.append(uuid)
        return Status.ACKNOWLEDGED, {}, ()


def _item(code: int) -> ErrorChainItem:
    return ErrorChainItem(code, DOMAIN, "the provisioning profile could not be handled", None)
