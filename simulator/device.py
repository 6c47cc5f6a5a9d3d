"""A fake device as a state machine: what it holds, what its user does, what is scripted. No clock, no network.

`simulator.commands` says how it answers, `simulator.enrollment` and `simulator.session` carry the conversation.
A Mac's user channel is a Device of its own with a `user` (`simulator.user_channel`); fleets have none.
"""

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from protocol.identity import EnrollmentIdentity, EnrollmentKind
from protocol.mobileconfig import EnrollmentFacts
from protocol.reports import Status, render_report
from simulator import passcode as passcodes
from simulator.hardware import Hardware
from simulator.passcode import PasscodePolicy
from simulator.profiles import InstalledProfile, ProvisioningProfile


class AfterDelivery(StrEnum):
    """What happens to the device as soon as the report in hand has been delivered."""

    ERASE = "erase"
    REMOVE_MANAGEMENT = "remove_management"


_Counter: TypeAlias = Literal["not_now", "lose_reports", "lose_responses", "repeat_reports", "forget_provisioning"]


@dataclass(frozen=True, slots=True)
class CertificateHeader:
    """The header a TLS proxy would add. `format`: nginx's escaped PEM, or RFC 9440 (`:base64:`)."""

    name: str
    format: Literal["nginx", "rfc9440"] = "rfc9440"


@dataclass(frozen=True, slots=True)
class Failure:
    """An Error a command is scripted to end with."""

    code: int
    domain: str
    text: str = "scripted failure"


@dataclass(slots=True)
class Script:
    """What goes wrong next. Counters count down as they are used; `compliance_flags` stays until cleared.

    `lose_reports`: the connection breaks before the report is out. `lose_responses`: it was delivered, the answer is
    lost, so the report comes again. `repeat_reports`: it is sent twice in one session. `forget_provisioning`: a
    provisioning profile is acknowledged and gone at once.
    """

    failures: dict[str, list[Failure]] = field(default_factory=dict)
    not_now: int = 0
    lose_reports: int = 0
    lose_responses: int = 0
    repeat_reports: int = 0
    forget_provisioning: int = 0
    compliance_flags: bool | None = None

    def take(self, counter: "_Counter") -> bool:
        """Whether this happens now; counts it down."""
        left: int = getattr(self, counter)
        if left > 0:
            setattr(self, counter, left - 1)
        return left > 0

    def take_failure(self, request_type: str) -> Failure | None:
        waiting = self.failures.get(request_type)
        return waiting.pop(0) if waiting else None


@dataclass(slots=True)
class Enrollment:
    """The tie to one portal: the profile that made it, the identity, and the push address.

    `authenticated`: the Authenticate was accepted; before that there is nothing to go on with after a restart.
    `confirmed`: the first TokenUpdate was accepted; before that the device is not enrolled.
    """

    facts: EnrollmentFacts
    profile: InstalledProfile
    private_key: RSAPrivateKey
    certificate: x509.Certificate
    push_magic: str
    token: bytes
    unlock_token: bytes | None
    authenticated: bool = False
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class LocalUser:
    """Who signs in on a Mac and gets a channel; `user_id` is the GeneratedUID of the account."""

    user_id: str
    short_name: str
    long_name: str = ""


def _ignore(event: str, detail: str) -> None:
    """Nobody listens."""


def never_set() -> datetime:
    """A device that does not know the time finds nothing expired."""
    return datetime(1970, 1, 1, tzinfo=UTC)


def random_token(_topic: str) -> bytes:
    """A token no APNs knows."""
    return os.urandom(32)


@dataclass(slots=True)
class Device:
    """One fake device, or the channel of a Mac's `user`. `listener(event, detail)` hears what happens; `new_token(topic)` gives an APNs token.

    `clock`: the device's own, by which it judges what has expired. `user_acted`: its user has set or removed a passcode already.
    """

    hardware: Hardware
    user_enrollment: bool = False
    user: LocalUser | None = None
    awaiting_configuration: bool = False
    certificate_header: CertificateHeader | None = None
    listener: Callable[[str, str], None] = _ignore
    new_token: Callable[[str], bytes] = random_token
    clock: Callable[[], datetime] = never_set

    enrollment_id: str = field(default_factory=lambda: str(uuid.uuid4()).upper())
    enrollment: Enrollment | None = None
    profiles: dict[str, InstalledProfile] = field(default_factory=dict)
    provisioning_profiles: dict[str, ProvisioningProfile] = field(default_factory=dict)
    identities: dict[str, list[x509.Certificate]] = field(default_factory=dict)
    passcode: str | None = None
    user_acted: bool = False
    locked: bool = False
    online: bool = True
    erased: bool = False
    script: Script = field(default_factory=Script)

    unsent: bytes | None = None
    after_delivery: AfterDelivery | None = None
    last_status: Status | None = None
    polls_after_unlock: bool = False
    not_now_while_locked: bool = False

    # -- who it is

    @property
    def serial(self) -> str:
        return self.hardware.serial

    @property
    def identity(self) -> EnrollmentIdentity:
        """Device channel, that of a User Enrollment (no UDID, no serial number), or a Mac's user channel."""
        if self.user is not None:
            return EnrollmentIdentity(
                EnrollmentKind.USER,
                f"{self.hardware.udid}:{self.user.user_id}",
                parent_id=self.hardware.udid,
                udid=self.hardware.udid,
                user_id=self.user.user_id,
                user_short_name=self.user.short_name,
                user_long_name=self.user.long_name or None,
            )
        if self.user_enrollment:
            return EnrollmentIdentity(EnrollmentKind.USER_ENROLLMENT, self.enrollment_id)
        return EnrollmentIdentity(EnrollmentKind.DEVICE, self.hardware.udid, udid=self.hardware.udid)

    @property
    def is_enrolled(self) -> bool:
        return self.enrollment is not None and self.enrollment.confirmed

    def note(self, event: str, detail: str = "") -> None:
        """Tell the listener; nothing secret."""
        self.listener(event, detail)

    # -- the user

    @property
    def policy(self) -> PasscodePolicy:
        """What the installed passcode policies demand together."""
        payloads = [p for profile in self.profiles.values() for p in profile.payloads_of(passcodes.PAYLOAD_TYPE)]
        if payloads and self.user_enrollment:
            return passcodes.USER_ENROLLMENT_POLICY
        return passcodes.combine(map(passcodes.read_policy, payloads))

    @property
    def has_policy(self) -> bool:
        return any(profile.payloads_of(passcodes.PAYLOAD_TYPE) for profile in self.profiles.values())

    @property
    def is_compliant(self) -> bool:
        """What PasscodeCompliant says: true when no policy is installed, passcode or not."""
        if self.script.compliance_flags is not None:
            return self.script.compliance_flags
        return self.policy.is_satisfied_by(self.passcode)

    def set_passcode(self, value: str | None = None) -> None:
        """The user sets a passcode; without `value` one that satisfies the installed policies."""
        self.passcode = self.policy.example() if value is None else value
        self.user_acted = True
        self.note("passcode set", "" if self.is_compliant else "not compliant")

    def remove_passcode(self) -> None:
        """The user turns the passcode off."""
        self.passcode = None
        self.user_acted = True
        self.note("passcode removed")

    def lock(self) -> None:
        """From now on most commands get NotNow."""
        self.locked = True
        self.note("locked")

    def unlock(self) -> bool:
        """Whether the device now polls by itself: only if NotNow was its last word (mdm-protocol 2.2)."""
        self.locked = False
        polls, self.polls_after_unlock = self.polls_after_unlock and self.is_enrolled, False
        self.note("unlocked", "polls by itself" if polls else "")
        return polls

    def bring_in_app(self, profile: ProvisioningProfile) -> None:
        """An app was installed with this profile inside: it is listed, unless only managed ones are asked for."""
        self.provisioning_profiles.setdefault(profile.uuid, replace(profile, managed=False))
        self.note("provisioning profile came in an app", profile.uuid)

    def fail_next(self, request_type: str, code: int, domain: str, *, times: int = 1) -> None:
        """The next `times` commands of this type end with this Error."""
        self.script.failures.setdefault(request_type, []).extend([Failure(code, domain)] * times)

    # -- the tie to the portal

    def is_woken_by(self, push_magic: str) -> bool:
        """Pushes with another PushMagic (an older enrollment's) are ignored."""
        return self.enrollment is not None and self.enrollment.push_magic == push_magic and not self.erased

    def begin_enrollment(
        self,
        facts: EnrollmentFacts,
        profile: InstalledProfile,
        *,
        private_key: RSAPrivateKey,
        certificate: x509.Certificate,
    ) -> None:
        """Identity in hand: what Authenticate and TokenUpdate will say. Not enrolled before `confirm_enrollment`."""
        if self.user_enrollment and self.enrollment is None:
            self.enrollment_id = str(uuid.uuid4()).upper()  # a new one each time: Apple's privacy promise
        keeps_unlock_token = not (self.user_enrollment or self.hardware.is_mac)
        self.enrollment = Enrollment(
            facts=facts,
            profile=profile,
            private_key=private_key,
            certificate=certificate,
            push_magic=str(uuid.uuid4()).upper(),
            token=self.new_token(facts.topic),
            unlock_token=os.urandom(64) if keeps_unlock_token else None,
        )
        self.erased = False

    def confirm_enrollment(self) -> None:
        """The TokenUpdate was accepted."""
        if self.enrollment is not None:
            self.enrollment.confirmed = True
            self.profiles[self.enrollment.profile.identifier] = self.enrollment.profile

    def unenroll(self) -> None:
        """Management is gone, and with it everything it installed."""
        self.enrollment = None
        self.profiles = {k: profile for k, profile in self.profiles.items() if not _leaves(profile)}
        self.provisioning_profiles = {k: one for k, one in self.provisioning_profiles.items() if not one.managed}
        self.identities.clear()
        self.unsent = self.after_delivery = self.last_status = None
        self.polls_after_unlock = self.awaiting_configuration = False

    def erase(self) -> None:
        """Back to the factory: nothing is left, and nobody enrolls it again."""
        self.unenroll()
        self.profiles.clear()
        self.provisioning_profiles.clear()
        self.passcode = None
        self.locked = self.user_acted = False
        self.erased = True

    # -- reports

    def idle(self) -> bytes:
        """The body that asks for work."""
        self.last_status = Status.IDLE
        return render_report(self.identity, Status.IDLE)

    def report(self, command_uuid: str, status: Status, keys: dict[str, Any] | None = None) -> bytes:
        """The body that answers a command; kept as `unsent` until delivered, unless it is NotNow."""
        self.last_status = status
        self.not_now_while_locked = status is Status.NOT_NOW and self.locked
        body = render_report(self.identity, status, command_uuid=command_uuid, response=keys)
        # The device forgets a command it had no time for; every other result is kept until a 2xx.
        self.unsent = None if status is Status.NOT_NOW else body
        return body


def _leaves(profile: InstalledProfile) -> bool:
    return profile.managed or bool(profile.payloads_of("com.apple.mdm"))
