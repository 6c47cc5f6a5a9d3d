"""A tiny JSON interface on the loopback address with which tests and demos steer a running fleet.

    GET  /devices                     every device; GET /devices/<serial> one
    POST /devices/<serial>/passcode   {"set": true} or {"set": true, "value": "1234"} or {"set": false}
    POST /devices/<serial>/lock | /unlock | /offline | /online | /connect | /check-out | /dead-token
    POST /devices/<serial>/script     any of {"fail_next": {"request_type", "code", "domain", "times"}, "not_now": 1,
                                      "lose_reports": 1, "lose_responses": 1, "repeat_reports": 1,
                                      "compliance_flags": true | false | null}
    GET  /apns                        {"url", "pushes", "refused", "connections"}
    POST /apns/script                 {"faults": [503, "goaway", "close"]}

No authentication: it binds to 127.0.0.1 only and its devices are fakes. HTTP/1.1, one request per connection.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from simulator.fleet import Fleet, Runner

MAX_BODY: Final = 64 * 1024
PATIENCE: Final = 10.0  # seconds for a whole request; a silent client must not hold up the end
COUNTERS: Final = ("not_now", "lose_reports", "lose_responses", "repeat_reports")
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


class _Refused(Exception):  # noqa: N818 - an answer on its way up
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def serve(fleet: Fleet, port: int) -> asyncio.Server:
    """Listen on 127.0.0.1; port 0 takes a free one. The caller closes the server."""
    return await asyncio.start_server(_Door(fleet).handle, "127.0.0.1", port)


def describe(runner: Runner) -> dict[str, Any]:
    """One device as JSON; no secrets."""
    device = runner.device
    return {
        "serial": device.serial,
        "udid": None if device.user_enrollment else device.hardware.udid,
        "enrollment_id": device.identity.enrollment_id,
        "family": device.hardware.family.value,
        "enrolled": device.is_enrolled,
        "erased": device.erased,
        "online": device.online,
        "locked": device.locked,
        "passcode": device.passcode is not None,
        "compliant": device.is_compliant,
        "unsent": device.unsent is not None,
        "profiles": [{"identifier": p.identifier, "uuid": p.uuid} for p in device.profiles.values()],
        "provisioning_profiles": [{"uuid": p.uuid, "name": p.name} for p in device.provisioning_profiles.values()],
    }


class _Door:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, content = await self._answer(reader)
            body = json.dumps(content).encode()
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away: nothing to tell it
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        try:
            method, path, body = await asyncio.wait_for(_read_request(reader), PATIENCE)
            return 200, await self._route(method, [part for part in path.split("/") if part], body)
        except _Refused as refused:
            return refused.status, {"error": str(refused)}

    async def _route(self, method: str, parts: list[str], body: dict[str, Any]) -> Any:
        match method, parts:
            case "GET", ["devices"]:
                return [describe(runner) for runner in self._fleet.runners.values()]
            case "GET", ["devices", serial]:
                return describe(self._runner(serial))
            case "POST", ["devices", serial, act]:
                runner = self._runner(serial)
                await _act(runner, act, body)
                return describe(runner)
            case "GET", ["apns"]:
                return self._apns()
            case "POST", ["apns", "script"]:
                self._script_apns(body)
                return self._apns()
        raise _Refused(404, "no such thing")

    def _runner(self, serial: str) -> Runner:
        if serial not in self._fleet.runners:
            raise _Refused(404, "no such device")
        return self._fleet.runners[serial]

    def _apns(self) -> dict[str, Any]:
        ledger, server = self._fleet.ledger, self._fleet.apns
        counts = {"pushes": len(ledger.pushes), "refused": len(ledger.refused), "connections": server.connections}
        return {"url": server.url, **counts}

    def _script_apns(self, body: dict[str, Any]) -> None:
        faults = body.get("faults")
        if not isinstance(faults, list) or not all(isinstance(fault, int | str) for fault in faults):
            raise _Refused(400, "faults: a list of statuses, goaway or close")
        try:
            self._fleet.ledger.script(*faults)
        except ValueError as error:
            raise _Refused(400, str(error)) from None


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, Any]]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise _Refused(400, "the request head is too long") from None
    request_line, *lines = head.split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3:
        raise _Refused(400, "no HTTP request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY:
        raise _Refused(400, "Content-Length is no number or too large")
    raw = await reader.readexactly(int(length))
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        raise _Refused(400, "the body is no JSON") from None
    if not isinstance(body, dict):
        raise _Refused(400, "the body is no JSON object")
    return words[0], words[1].partition("?")[0], body


async def _act(runner: Runner, act: str, body: dict[str, Any]) -> None:
    simple: dict[str, Callable[[], None]] = {
        "lock": runner.lock,
        "unlock": runner.unlock,
        "offline": runner.go_offline,
        "online": runner.go_online,
        "connect": runner.wake,
        "dead-token": runner.kill_token,
    }
    if act in simple:
        simple[act]()
    elif act == "passcode":
        _passcode(runner, body)
    elif act == "script":
        _script(runner, body)
    elif act == "check-out":
        await runner.check_out()
    else:
        raise _Refused(404, "no such act")


def _passcode(runner: Runner, body: dict[str, Any]) -> None:
    value = body.get("value")
    if not isinstance(body.get("set"), bool) or not isinstance(value, str | None):
        raise _Refused(400, 'passcode: {"set": true | false, "value": optional text}')
    if body["set"]:
        runner.set_passcode(value)
    else:
        runner.remove_passcode()


def _script(runner: Runner, body: dict[str, Any]) -> None:
    unknown = set(body) - {*COUNTERS, "fail_next", "compliance_flags"}
    if unknown:
        raise _Refused(400, f"script: unknown {', '.join(sorted(unknown))}")
    script = runner.device.script
    counters = {name: body[name] for name in COUNTERS if name in body}
    flags = body.get("compliance_flags", script.compliance_flags)
    if not all(isinstance(count, int) for count in counters.values()) or not isinstance(flags, bool | None):
        raise _Refused(400, "script: counters are numbers, compliance_flags true, false or null")
    if "fail_next" in body:
        _fail_next(runner, body["fail_next"])
    for name, count in counters.items():
        setattr(script, name, count)
    script.compliance_flags = flags


def _fail_next(runner: Runner, failure: object) -> None:
    match failure:
        case {"request_type": str(request_type), "code": int(code), "domain": str(domain), **rest}:
            times = rest.get("times", 1)
            if isinstance(times, int) and 0 < times <= 1000:
                runner.device.fail_next(request_type, code, domain, times=times)
                return
    raise _Refused(400, "fail_next: request_type, code, domain, and times from 1 to 1000")
