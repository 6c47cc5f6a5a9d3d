"""A small fleet in one loop, against a portal on a real port and with real pushes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocol.commands import EraseDevice, InstallProfile, SecurityInfo
from protocol.reports import Status
from simulator import apple, control
from simulator.apns import utc_now
from simulator.fleet import Fleet, FleetOptions
from simulator.hardware import Family
from tests.simulator.portal import PASSCODE, Keys, Portal, profile_with
from tests.simulator.serving import serving, wake

pytestmark = pytest.mark.real_clock


class Log:
    """What the fleet says; `until` waits for a line that makes something true."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, who: str, event: str, detail: str) -> None:
        self.lines.append((who, event, detail))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, is_true: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(10), self._news:
                await self._news.wait_for(is_true)
        except TimeoutError:
            raise AssertionError(f"not within 10 s; the log: {self.lines}") from None

    def count(self, event: str) -> int:
        return sum(line[1] == event for line in self.lines)


@pytest.fixture
def served(keys: Keys, tmp_path: Path) -> Iterator[Portal]:
    made = apple.make(tmp_path / "apple", now=utc_now())
    portal = Portal(keys(2048), topic=made.topic)
    with serving(portal):
        yield portal


@pytest.fixture
def options(served: Portal, tmp_path: Path) -> FleetOptions:
    return FleetOptions(
        url=served.profile_url,
        devices=2,
        apple_directory=tmp_path / "apple",
        set_passcode_share=0.5,
        passcode_delay=(0, 0),
        state=tmp_path / "state",
    )


@asynccontextmanager
async def running(options: FleetOptions, log: Log) -> AsyncIterator[tuple[Fleet, httpx.AsyncClient]]:
    """The fleet, alive, and a client of its control port."""
    async with Fleet(options, log=log) as fleet:
        life = asyncio.create_task(fleet.run())
        async with await control.serve(fleet, 0) as server:
            port = server.sockets[0].getsockname()[1]
            base_url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
                try:
                    yield fleet, client
                finally:
                    life.cancel()
                    with suppress(asyncio.CancelledError):
                        await life


def test_a_fleet_enrolls_is_woken_and_follows_its_users(served: Portal, options: FleetOptions) -> None:
    async def scenario() -> None:
        log = Log()
        async with running(options, log) as (fleet, client):
            await log.until(lambda: log.count("enrolled") == 2)
            for message in served.token_updates():
                served.push(message.identity.enrollment_id, InstallProfile(profile_with(PASSCODE)))
            assert await wake(served, fleet.apns.apple, fleet.apns.url) == [200, 200]
            await log.until(lambda: log.count("InstallProfile") == 2 and log.count("passcode set") == 1)
            devices = {d["serial"]: d for d in (await client.get("/devices")).json()}
            assert sorted(devices) == ["SIM0000001", "SIM0000002"]
            assert sorted(d["passcode"] for d in devices.values()) == [False, True]
            assert all(d["enrolled"] and len(d["profiles"]) == 2 for d in devices.values())
            assert (await client.get("/apns")).json()["pushes"] == 2

    asyncio.run(scenario())


def test_a_stopped_fleet_goes_on_with_the_same_identities(served: Portal, options: FleetOptions) -> None:
    async def first() -> None:
        log = Log()
        async with running(options, log):
            await log.until(lambda: log.count("enrolled") == 2)

    async def second() -> None:
        log = Log()
        for message in served.token_updates():
            served.push(message.identity.enrollment_id, SecurityInfo())
        async with running(options, log) as (fleet, _client):
            await log.until(lambda: log.count("SecurityInfo") == 2)
            assert await wake(served, fleet.apns.apple, fleet.apns.url) == [200, 200]

    asyncio.run(first())
    asyncio.run(second())
    assert len(served.checkins) == 4
    assert len(served.fingerprints) == 2


def test_a_fleet_waits_for_a_portal_that_is_down(served: Portal, options: FleetOptions) -> None:
    async def scenario() -> None:
        log = Log()
        served.down = True
        async with running(options, log) as (fleet, client):
            await log.until(lambda: log.count("enrollment failed") >= 2)
            served.down = False
            await log.until(lambda: log.count("enrolled") == 2)
            udid = fleet.runners["SIM0000001"].device.identity.enrollment_id
            command = served.push(udid, SecurityInfo())
            served.faults.extend([200, 503])
            await client.post("/devices/SIM0000001/connect")
            await log.until(lambda: log.count("connect refused") == 1)
            await log.until(lambda: log.count("late report delivered") == 1)
            assert len(served.results(command)) == 1

    asyncio.run(scenario())


def test_devices_are_steered_over_the_control_port(served: Portal, options: FleetOptions) -> None:
    async def scenario() -> None:
        log = Log()
        async with running(options, log) as (fleet, client):
            await log.until(lambda: log.count("enrolled") == 2)
            device = fleet.runners["SIM0000001"].device

            async def post(act: str, **body: Any) -> dict[str, Any]:
                answer = await client.post(f"/devices/SIM0000001/{act}", json=body)
                assert answer.status_code == 200, answer.text
                return answer.json()

            assert (await post("passcode", set=True, value="1234"))["passcode"] is True
            assert (await post("passcode", set=False))["passcode"] is False
            assert (await post("lock"))["locked"] is True
            served.push(device.identity.enrollment_id, SecurityInfo())
            await post("offline")
            await wake(served, fleet.apns.apple, fleet.apns.url)
            await log.until(lambda: log.count("offline") == 1)
            assert log.count("SecurityInfo") == 0
            await post("online")
            await log.until(lambda: log.count("SecurityInfo") == 1)
            assert (await post("unlock"))["locked"] is False
            await log.until(lambda: log.count("SecurityInfo") == 2)  # it polled by itself
            await post("script", fail_next={"request_type": "SecurityInfo", "code": 1, "domain": "X"}, lose_reports=1)
            assert (device.script.lose_reports, len(device.script.failures["SecurityInfo"])) == (1, 1)
            await post("script", lose_reports=0)
            served.push(device.identity.enrollment_id, EraseDevice())
            await post("connect")
            await log.until(lambda: log.count("erased") == 1)
            assert sorted(await wake(served, fleet.apns.apple, fleet.apns.url)) == [200, 410]

    asyncio.run(scenario())
    assert [r.status for r in served.reports if r.command_uuid][:2] == [Status.NOT_NOW, Status.ACKNOWLEDGED]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/devices/SIM9999999", b"", 404),
        ("POST", "/devices/SIM0000001/dance", b"", 404),
        ("POST", "/devices/SIM0000001/passcode", b"{}", 400),
        ("POST", "/devices/SIM0000001/passcode", b"[", 400),
        ("POST", "/devices/SIM0000001/passcode", b"[" * 60000, 400),
        ("POST", "/devices/SIM0000001/passcode", b" " * 70000, 400),
        ("POST", "/devices/SIM0000001/script", b'{"explode": 1}', 400),
        ("POST", "/devices/SIM0000001/script", b'{"not_now": "x"}', 400),
        ("POST", "/devices/SIM0000001/script", b'{"fail_next": {}}', 400),
        ("POST", "/apns/script", b'{"faults": [418]}', 400),
        ("POST", "/apns/script", b'{"faults": [503, "goaway"]}', 200),
    ],
)
def test_the_control_port_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, method: str, path: str, body: bytes, status: int
) -> None:
    made = apple.make(tmp_path_factory.getbasetemp() / "control-apple", now=utc_now())

    async def scenario() -> None:
        options = FleetOptions("http://127.0.0.1:1/", devices=1, apple_directory=made.directory)
        async with Fleet(options, log=Log()) as fleet, await control.serve(fleet, 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                assert (await client.request(method, path, content=body)).status_code == status

    asyncio.run(scenario())


def test_the_last_devices_are_the_special_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        options = FleetOptions(
            "http://127.0.0.1:1/",
            devices=5,
            apple_directory=tmp_path,
            ipads=1,
            user_enrollments=1,
            macs=1,
            set_passcode_share=1,
        )
        async with Fleet(options, log=Log()) as fleet:
            devices = [runner.device for runner in fleet.runners.values()]
            families = [device.hardware.family for device in devices]
            assert families == [Family.IPHONE, Family.IPHONE, Family.IPAD, Family.IPHONE, Family.MAC]
            assert [device.user_enrollment for device in devices] == [False, False, False, True, False]

    asyncio.run(scenario())
