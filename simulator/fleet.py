"""Many devices and one fake APNs in one asyncio process: who is awake, who retries when, what the users do.

`Runner` is one device in the loop, `Fleet` all of them with what they share: the HTTP client, the key makers, the
state folder, the log. The conversations themselves are in `simulator.enrollment` and `simulator.session`.
"""

import asyncio
import contextlib
import os
import random
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from simulator import apple, enrollment, session
from simulator.apns import ApnsServer, utc_now
from simulator.apns_ledger import Ledger
from simulator.device import CertificateHeader, Device
from simulator.errors import ConnectionFailed, EnrollmentFailed
from simulator.hardware import Family, hardware
from simulator.session import Outcome
from simulator.state import Folder
from simulator.transport import run_async
from simulator.users import UserPlan, plan

Log = Callable[[str, str, str], None]
ENROLLING_AT_ONCE = 6
CONNECTING_AT_ONCE = 16
FIRST_RETRY, LAST_RETRY = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """How a fleet looks. `url` gives an enrollment profile at each GET; delays are seconds.

    The last `macs` devices are Macs, the `user_enrollments` before them User Enrollments, the `ipads` before those iPads.
    `trust` is a PEM file with the root of the portal's HTTPS certificate. A locked device is unlocked by its user after
    `unlock_after`, unless it was locked over the control port.
    """

    url: str
    devices: int
    apple_directory: Path
    apns_port: int = 0
    set_passcode_share: float = 0.7
    passcode_delay: tuple[float, float] = (5.0, 20.0)
    drop_passcode_after: tuple[float, ...] = ()
    seed: int = 1
    first: int = 1
    ipads: int = 0
    user_enrollments: int = 0
    macs: int = 0
    unlock_after: float = 30.0
    state: Path | None = None
    trust: Path | None = None
    certificate_header: CertificateHeader | None = None


class Runner:
    """One device in the loop: `await live()` until it is erased, unenrolled or cancelled."""

    def __init__(self, fleet: "Fleet", device: Device, user: UserPlan) -> None:
        self.device = device
        self._fleet = fleet
        self._user = user
        self._awake = asyncio.Event()
        self._online = asyncio.Event()
        self._online.set()
        self._busy = asyncio.Lock()
        self._passcode_timer: asyncio.TimerHandle | None = None
        self._unlock_timer: asyncio.TimerHandle | None = None
        self.held_locked = False
        device.listener = self._log
        device.new_token = self._new_token

    async def live(self) -> None:
        """Enroll, then a session per wake-up; failed sessions come back by themselves, later and later."""
        self._resume()
        delay = FIRST_RETRY
        while not self.device.erased:
            await self._online.wait()
            if not self.device.is_enrolled:
                succeeded = await self._enroll()
            else:
                await self._awake.wait()
                await self._online.wait()
                self._awake.clear()
                outcome = await self._connect()
                if outcome is Outcome.GONE:
                    break
                if outcome is Outcome.POLL:
                    self.wake()
                succeeded = outcome is not Outcome.RETRY
            if succeeded:
                delay = FIRST_RETRY
                continue
            await self._wait_for_a_push(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, LAST_RETRY)
            if self.device.is_enrolled:
                self.wake()

    # -- what the control port and the user do

    def wake(self) -> None:
        """Connect now, as after a push."""
        self._awake.set()

    def set_passcode(self, value: str | None = None) -> None:
        self.device.set_passcode(value)
        self._changed()

    def remove_passcode(self) -> None:
        self.device.remove_passcode()
        self._changed()

    def lock(self) -> None:
        """Locked until `unlock`: the user is away."""
        self.held_locked = True
        self.device.lock()
        self._changed()

    def unlock(self) -> None:
        self.held_locked = False
        if self.device.unlock():
            self.wake()
        self._changed()

    def go_offline(self) -> None:
        self._set_online(online=False)

    def go_online(self) -> None:
        self._set_online(online=True)

    async def check_out(self) -> None:
        """The user removes the enrollment profile."""
        async with self._busy:
            await run_async(enrollment.check_out(self.device), self._fleet.client)
        self._gone()

    def kill_token(self) -> None:
        """APNs forgets the device, which itself knows nothing of it."""
        if self.device.enrollment is not None:
            self._fleet.ledger.kill_token(self.device.enrollment.token)

    def stop(self) -> None:
        """No timer fires after this."""
        for timer in (self._passcode_timer, self._unlock_timer):
            if timer is not None:
                timer.cancel()

    # -- inside

    def _resume(self) -> None:
        """A device that starts up: APNs learns its token again, and it asks for work by itself, as after a boot."""
        tie = self.device.enrollment
        if tie is None:
            return
        self._fleet.ledger.register(tie.token, topic=tie.facts.topic, deliver=self._pushed)
        self._user_acts()
        self.wake()

    async def _wait_for_a_push(self, seconds: float) -> None:
        """Not longer than this; a push says that the portal is back."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), seconds)

    async def _enroll(self) -> bool:
        async with self._fleet.enrolling, self._busy:
            flow = enrollment.enroll(self.device, self._fleet.options.url, now=self._fleet.clock())
            try:
                await run_async(flow, self._fleet.client, executor=self._fleet.keys, before_request=self._changed)
            except (EnrollmentFailed, ConnectionFailed) as error:
                self.device.note("enrollment failed", str(error))
                return False
            finally:
                self._changed()
        return True

    async def _connect(self) -> Outcome:
        async with self._fleet.connecting, self._busy:
            tie = self.device.enrollment
            flow = session.connect(self.device, now=self._fleet.clock())
            outcome = await run_async(flow, self._fleet.client, executor=self._fleet.keys, before_request=self._changed)
        self._changed()
        if outcome is Outcome.GONE:
            self._gone()
            if tie is not None:
                self._fleet.ledger.kill_token(tie.token)
        self._user_acts()
        return outcome

    def _gone(self) -> None:
        self.stop()
        self._changed()

    def _user_acts(self) -> None:
        """The user reacts to what the last session brought: a policy, or a lock."""
        loop, device, user = asyncio.get_running_loop(), self.device, self._user
        if self._passcode_timer is None and device.has_policy and not device.hardware.is_mac:
            if not device.user_acted and user.sets_passcode_after is not None:
                self._passcode_timer = loop.call_later(user.sets_passcode_after, self._plan_sets)
            elif device.passcode is not None:
                self._plan_drops()
        if device.locked and not self.held_locked and self._unlock_timer is None:
            self._unlock_timer = loop.call_later(self._fleet.options.unlock_after, self._plan_unlocks)

    def _plan_sets(self) -> None:
        if self.device.passcode is None:
            self.set_passcode()
            self._plan_drops()

    def _plan_drops(self) -> None:
        after = self._user.drops_passcode_after
        if after is not None:
            self._passcode_timer = asyncio.get_running_loop().call_later(after, self.remove_passcode)

    def _plan_unlocks(self) -> None:
        self._unlock_timer = None
        if not self.held_locked:
            self.unlock()

    def _set_online(self, *, online: bool) -> None:
        self.device.online = online
        self.device.note("online" if online else "offline")
        if online:
            self._online.set()
        else:
            self._online.clear()
        if self.device.enrollment is not None:
            self._fleet.ledger.set_online(self.device.enrollment.token, online)

    def _new_token(self, topic: str) -> bytes:
        token = os.urandom(32)
        self._fleet.ledger.register(token, topic=topic, deliver=self._pushed)
        return token

    def _pushed(self, push_magic: str) -> None:
        if self.device.is_woken_by(push_magic):
            self.wake()

    def _changed(self) -> None:
        if self._fleet.folder is not None:
            self._fleet.folder.save(self.device)

    def _log(self, event: str, detail: str) -> None:
        self._fleet.log(self.device.serial, event, detail)


class Fleet:
    """All devices of one run: `async with Fleet(options, log=...) as fleet: await fleet.run()`."""

    def __init__(self, options: FleetOptions, *, log: Log, clock: Callable[[], datetime] = utc_now) -> None:
        self.options = options
        self.log = log
        self.clock = clock
        self.ledger = Ledger(clock)
        self.apns = ApnsServer(apple.make(options.apple_directory, now=clock()), self.ledger)
        self.folder = Folder(options.state) if options.state is not None else None
        self.keys = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rsa")
        self.enrolling = asyncio.Semaphore(ENROLLING_AT_ONCE)
        self.connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self.client = _client(options.trust)
        self.runners = {runner.device.serial: runner for runner in self._runners()}

    async def __aenter__(self) -> "Fleet":
        await self.apns.start(port=self.options.apns_port)
        self.log("apns", "listening", self.apns.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self.runners.values():
            runner.stop()
        await self.client.aclose()
        await self.apns.stop()
        self.keys.shutdown(cancel_futures=True)

    async def run(self) -> None:
        """Every device lives until it is gone; returns when the last one is."""
        async with asyncio.TaskGroup() as group:
            for runner in self.runners.values():
                group.create_task(runner.live(), name=runner.device.serial)

    def _runners(self) -> list[Runner]:
        options = self.options
        users = plan(
            options.devices,
            share=options.set_passcode_share,
            delay=options.passcode_delay,
            drops=options.drop_passcode_after,
            seed=options.seed,
        )
        return [Runner(self, self._device(index), users[index]) for index in range(options.devices)]

    def _device(self, index: int) -> Device:
        options = self.options
        from_the_end = options.devices - index
        is_mac = from_the_end <= options.macs
        is_private = not is_mac and from_the_end <= options.macs + options.user_enrollments
        special = options.macs + options.user_enrollments
        is_ipad = special < from_the_end <= special + options.ipads
        family = Family.MAC if is_mac else Family.IPAD if is_ipad else Family.IPHONE
        box = hardware(options.first + index, family, supervised=not is_private)
        saved = self.folder.load(box.serial) if self.folder is not None else None
        device = saved if saved is not None else Device(box, user_enrollment=is_private)
        device.certificate_header, device.clock = options.certificate_header, self.clock
        return device


def _client(trust: Path | None) -> httpx.AsyncClient:
    """One client for all: a pool of connections, no proxy from the environment, the given root beside the system's."""
    context = ssl.create_default_context()
    if trust is not None:
        context.load_verify_locations(cafile=trust)
    limits = httpx.Limits(max_connections=CONNECTING_AT_ONCE + ENROLLING_AT_ONCE, max_keepalive_connections=None)
    timeout = httpx.Timeout(30.0, pool=None)
    return httpx.AsyncClient(verify=context, limits=limits, timeout=timeout, trust_env=False)
