"""Devices for the tests of this package: rows in the database, and a fake device that works its queue off.

`FakeDevice` stands in for `devices.queue` and the endpoint's handlers: it takes the next open command, does it, closes
it and calls the same functions in the same order.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from devices import inventory
from devices.commands import params_of
from devices.models import Command, CommandState, Device, Enrollment, EnrollmentState, Platform, PushState
from devices.plans import PlanSummary
from profiles import assignment, gate, installations
from profiles.delivery import render_install_profile
from profiles.importing import import_payloads, new_bundle
from profiles.models import Bundle, DeliveryRule, Installation
from protocol.identity import EnrollmentIdentity, EnrollmentKind
from protocol.mobileconfig import build_mobileconfig, parse_mobileconfig, unwrap_mobileconfig
from protocol.plist import dumps
from protocol.reports import ErrorChainItem, Report, Status

NUMBERS = count(1)
CLOSING = {
    Status.ACKNOWLEDGED: CommandState.ACKNOWLEDGED,
    Status.ERROR: CommandState.ERROR,
    Status.COMMAND_FORMAT_ERROR: CommandState.FORMAT_ERROR,
}
PASSCODE = "com.apple.mobiledevice.passwordpolicy"
VPN = "com.apple.vpn.managed"
WIFI = "com.apple.wifi.managed"
# What each type needs at least, so that the checks let it be published.
NEEDED = {
    VPN: {
        "UserDefinedName": "Office",
        "VPNType": "IKEv2",
        "IKEv2": {
            "RemoteAddress": "vpn.example.com",
            "LocalIdentifier": "device",
            "RemoteIdentifier": "vpn.example.com",
            "AuthenticationMethod": "None",
            "ExtendedAuthEnabled": 1,
        },
    },
    WIFI: {"SSID_STR": "Office"},
    "com.apple.font": {"Font": b"font"},
}


class Clock:
    """A moment that tests move; each look is a second later, so that the order of things shows."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


def payload(payload_type: str, name: str = "one", **settings: object) -> dict[str, object]:
    return {
        "PayloadType": payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"com.example.{name}.{payload_type}",
        "PayloadUUID": f"{name}-{payload_type}".upper()[:60],
        **settings,
    }


def mobileconfig(*payloads: dict[str, object], name: str = "Example") -> bytes:
    content = build_mobileconfig(
        payloads, identifier="com.example.profile", uuid="11111111-2222-3333-4444-555555555555", display_name=name
    )
    return dumps(content)


def bundle_of(*payloads: dict[str, object], now: datetime, rule: str = DeliveryRule.AFTER_COMPLIANCE) -> Bundle:
    """A bundle of these payloads, each with what its type needs at least."""
    bundle = new_bundle(f"Bundle {next(NUMBERS)}", now=now, rule=rule)
    whole = [{**NEEDED.get(payload["PayloadType"], {}), **payload} for payload in payloads]
    import_payloads(bundle, parse_mobileconfig(mobileconfig(*whole)))
    return bundle


def enrollments(number: int, now: datetime, *, platform: str = Platform.IOS) -> list[Enrollment]:
    """So many enrolled devices, in bulk."""
    devices = Device.objects.bulk_create(
        Device(udid=f"UDID-{next(NUMBERS):08}", platform=platform, state=Device.State.ENROLLED, created_at=now)
        for _ in range(number)
    )
    return Enrollment.objects.bulk_create(
        Enrollment(
            device=device,
            kind=EnrollmentKind.DEVICE,
            enrollment_id=device.udid,
            state=EnrollmentState.ENROLLED,
            push_state=PushState.OK,
            authenticated_at=now,
            enrolled_at=now,
        )
        for device in devices
    )


@dataclass
class FakeDevice:
    """One device: what it holds, what its user did, how it answers."""

    enrollment: Enrollment
    clock: Clock
    passcode: bool = False
    # What iOS says while no policy is installed, or while it has not looked yet.
    flags: bool = True
    locked: bool = False
    profiles: dict[str, str] = field(default_factory=dict)
    # RequestTypes that the device refuses, with what.
    errors: dict[str, tuple[ErrorChainItem, ...]] = field(default_factory=dict)
    malformed: set[str] = field(default_factory=set)
    # RequestTypes that it acknowledges and does not do.
    lies: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)

    def connect(self, limit: int = 50) -> list[str]:
        """One session: work until nothing is offered; the RequestTypes done."""
        done, put_off = [], set()
        for _ in range(limit):
            command = self.offer(skip=put_off)
            if command is None:
                return done
            status = self.answer(command)
            if status is Status.NOT_NOW:
                put_off.add(command.pk)
            else:
                done.append(command.request_type)
        raise AssertionError(f"the device is kept busy for ever: {done[-6:]}")

    def offer(self, skip: set[int] | frozenset[int] = frozenset()) -> Command | None:
        now = self.clock.now
        queue = Command.objects.open().filter(enrollment=self.enrollment).exclude(pk__in=skip)
        command = queue.order_by("priority", "pk").first()
        if command is not None:
            command.state, command.attempts = CommandState.SENT, command.attempts + 1
            command.sent_at = command.sent_at or now
            command.save()
        return command

    def answer(self, command: Command) -> Status:
        """Do it and report it, as `devices.queue` and the handlers would take it."""
        status, chain, body = self._do(command)
        now = self.clock()
        self.report(command, status, chain=chain, body=body, now=now)
        return status

    def report(self, command: Command, status: Status, *, now: datetime, chain=(), body=None) -> None:
        command.refresh_from_db()
        if status is Status.NOT_NOW:
            command.state, command.sent_at, command.not_now_at = CommandState.NOT_NOW, None, now
            command.save()
            return
        if command.state < CommandState.ACKNOWLEDGED:
            command.state, command.completed_at = CLOSING[status], now
            command.save()
        self.handle(command, status, chain=chain, body=body, now=now)

    def handle(self, command: Command, status: Status, *, now: datetime, chain=(), body=None) -> None:
        report = Report(
            identity=EnrollmentIdentity(EnrollmentKind.DEVICE, self.enrollment.enrollment_id),
            status=status,
            status_text=status.value,
            command_uuid=command.uuid,
            error_chain=tuple(chain),
            body={"Status": status.value, **(body or {})},
        )
        pk = self.enrollment.pk
        if command.request_type == "InstallProfile":
            installations.on_install_answer(command, report, now)
        elif command.request_type == "RemoveProfile":
            installations.on_remove_answer(command, report, now)
        else:
            inventory.store(command, report, now=now)
            if command.request_type == "ProfileList":
                installations.on_profile_list(self.enrollment, now)
            gate.judge_enrollments([pk], now)
            assignment.plan([pk], now)

    def _do(self, command: Command):
        kind, params = command.request_type, params_of(command)
        self.history.append(kind)
        if self.locked and kind in {"SecurityInfo", "InstallProfile"}:
            return Status.NOT_NOW, (), {}
        if kind in self.malformed:
            return Status.COMMAND_FORMAT_ERROR, (), {}
        if kind in self.errors:
            return Status.ERROR, self.errors[kind], {}
        if kind == "InstallProfile" and kind not in self.lies:
            content, signer = unwrap_mobileconfig(
                render_install_profile(params, self.enrollment.pk, self.clock.now).payload
            )
            assert signer is not None
            self.profiles[content.identifier] = content.uuid
        if kind == "RemoveProfile" and kind not in self.lies:
            if params["Identifier"] not in self.profiles:
                return Status.ERROR, (ErrorChainItem(12075, "MCMDMErrorDomain", "not installed"),), {}
            del self.profiles[params["Identifier"]]
        return Status.ACKNOWLEDGED, (), self.facts(kind)

    def facts(self, kind: str) -> dict[str, object]:
        """The answer to a query, as the device would give it now."""
        if kind == "ProfileList":
            items = [{"PayloadIdentifier": name, "PayloadUUID": uuid} for name, uuid in self.profiles.items()]
            return {"ProfileList": items}
        if kind == "SecurityInfo":
            flags = {"PasscodeCompliant": self.flags, "PasscodeCompliantWithProfiles": self.flags}
            return {"SecurityInfo": {"PasscodePresent": self.passcode, **flags}}
        return {}

    # --- what tests look at --------------------------------------------------------------------------------------

    def row(self, part: str) -> Installation:
        return Installation.objects.get(enrollment=self.enrollment, part=part)

    def states(self) -> dict[str, str]:
        return dict(Installation.objects.filter(enrollment=self.enrollment).values_list("part", "state"))

    def queued(self) -> list[str]:
        queue = Command.objects.open().filter(enrollment=self.enrollment).order_by("priority", "pk")
        return list(queue.values_list("request_type", flat=True))

    def plan(self) -> PlanSummary:
        return assignment.plan([self.enrollment.pk], self.clock())

    def poll(self) -> None:
        """The beat job, then the device connects."""
        now = self.clock()
        assignment.plan(gate.poll_due(now), now)
        self.connect()

    def ask(self, kind: str) -> Command:
        """A command that somebody else queued."""
        from devices.commands import enqueue_each

        return enqueue_each([self.enrollment.pk], kind, origin="a test", now=self.clock())[0]
