"""A fake App Store Connect on the loopback address: real HTTP, both programs, faults by script.

    http://127.0.0.1:PORT/enterprise    base address for APPSTORECONNECT_ENTERPRISE_URL
    http://127.0.0.1:PORT/developer     base address for APPSTORECONNECT_URL
    GET  /_control/state                what was asked and made
    POST /_control/fail                 {"method": "POST", "path": "/profiles", "fault": "server_error_after", "times": 1}
    POST /_control/lifetime             {"seconds": 600}: how long profiles made from now on are valid

`FakeApi` decides every answer; this module only carries, spoils and drops them. Nothing here talks to Apple.
"""

import json
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from simulator.appstoreconnect_api import FakeApi, Reply, Request
from simulator.appstoreconnect_faults import Fault
from simulator.errors import SimulatorError
from simulator.provisioning_authority import ProvisioningAuthority, make_authority

MAX_BODY: Final = 4 * 1024 * 1024
_HUGE: Final = 66
_MEBIBYTE: Final = 1024 * 1024


class AppStoreConnectServer:
    """`with AppStoreConnectServer(clock) as server:` serves from a thread of its own; `server.api` holds everything."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        authority: ProvisioningAuthority | None = None,
        api: FakeApi | None = None,
        on_change: Callable[[FakeApi], None] = lambda _api: None,
    ) -> None:
        """`on_change` hears of every request that may have changed something, under the lock."""
        self.api = api or FakeApi(authority or make_authority(clock()), clock)
        self.port = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._on_change = on_change
        self._http: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one. OSError when the port is taken."""
        self.stopping.clear()
        self._http = _Listener(self, port)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; what it knows stays, and `start` goes on with it."""
        self.stopping.set()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()
            self._http = self._thread = None

    def url(self, program: str = "enterprise") -> str:
        """The base address of a program's API, without /v1."""
        return f"http://127.0.0.1:{self.port}/{program}"

    def fail_next(
        self,
        method: str,
        path_prefix: str,
        fault: str,
        *,
        times: int = 1,
        seconds: float = 1.0,
        retry_after: str = "",
    ) -> None:
        """The next `times` requests of this sort fail; see appstoreconnect_faults for the names. SimulatorError."""
        with self.lock:
            self.api.faults.add(Fault(method, path_prefix, fault, times, seconds, retry_after))

    def answer(self, request: Request) -> Reply:
        """What the API says, one request at a time."""
        with self.lock:
            reply = self.api.answer(request)
            if request.method != "GET":
                self._on_change(self.api)
            return reply

    def control(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """The control address. SimulatorError when it makes no sense."""
        match method, path, body:
            case "GET", "state", _:
                return self._state()
            case "POST", "fail", {"method": str(verb), "path": str(prefix), "fault": str(fault), **more}:
                self.fail_next(
                    verb, prefix, fault,
                    times=int(more.get("times", 1)),
                    seconds=float(more.get("seconds", 1)),
                    retry_after=str(more.get("retry_after", "")),
                )  # fmt: skip
                return self._state()
            case "POST", "lifetime", {"seconds": int(seconds) | float(seconds)} if seconds > 0:
                with self.lock:
                    for team in self.api.teams.values():
                        team.lifetime = timedelta(seconds=seconds)
                    self._on_change(self.api)
                return self._state()
        raise SimulatorError("there is GET state, POST fail (method, path, fault) and POST lifetime (seconds)")

    def _state(self) -> dict[str, Any]:
        with self.lock:
            profiles = [
                {"team": team.identifier, "id": one.id, "name": one.name, "uuid": one.uuid, "state": one.state,
                 "expires": one.expires_at.isoformat()}
                for team in self.api.teams.values()
                for one in team.profiles.values()
            ]  # fmt: skip
            return {
                "requests": {f"{method} /{part}": count for (method, part), count in self.api.counts.items()},
                "created": [one.name for one in self.api.created],
                "profiles": profiles,
                "faults": [f"{one.times} x {one.name}" for one in self.api.faults.lines if one.times],
            }


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: AppStoreConnectServer, port: int) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", port), _Door)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our concern."""


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this each answer waits 40 ms for the client's kernel.
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by the fake's own clock."""
        return format_datetime(self.server.fake.api.clock(), usegmt=True)

    def log_message(self, *_: object) -> None:
        """Quiet: paths hold names."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(400, b"too large", "text/plain")
            return
        body = self.rfile.read(int(length))
        parts = urlsplit(self.path)
        if parts.path.startswith("/_control/"):
            self._control(parts.path.removeprefix("/_control/"), body)
            return
        program, _, path = parts.path.removeprefix("/").partition("/")
        version, _, rest = path.partition("/")
        base = f"{self.server.fake.url(program)}/v1"
        request = Request(
            program, self.command, f"/{rest}" if version == "v1" else "/",
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()}, body, base,
        )  # fmt: skip
        self._carry(self.server.fake.answer(request))

    def _control(self, path: str, body: bytes) -> None:
        try:
            asked = json.loads(body) if body else {}
            status, content = 200, self.server.fake.control(self.command, path, asked)
        except (SimulatorError, ValueError, RecursionError) as error:
            status, content = 400, {"error": str(error)}
        self._send(status, json.dumps(content).encode(), "application/json")

    def _carry(self, reply: Reply) -> None:
        """Send the reply, or what the fault makes of it."""
        name = reply.fault.name if reply.fault else ""
        body, kind = _body(reply)
        if name in {"drop", "drop_after"}:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif name == "slow":
            self._drip(reply, body)
        elif name == "huge":
            self._flood()
        elif name in _SPOILED:
            status, text, kind, headers = _SPOILED[name]
            self._send(status, text.encode(), kind, headers)
        else:
            self._send(reply.status, body, kind, reply.headers)

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def _drip(self, reply: Reply, body: bytes) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1])
        self.server.fake.stopping.wait(reply.fault.seconds if reply.fault else 0)
        self.wfile.write(body[1:])

    def _flood(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        for _ in range(_HUGE):
            self.wfile.write(b" " * _MEBIBYTE)


# Status, text, content type and headers of what comes instead of an answer.
_SPOILED: Final[dict[str, tuple[int, str, str, dict[str, str]]]] = {
    "server_error_after": (500, '{"errors": [{"status": "500", "code": "UNEXPECTED_ERROR"}]}', "application/json", {}),
    "bad_gateway": (502, "Could not process this request", "text/plain", {}),
    "no_json": (200, "<html>Welcome</html>", "text/html", {}),
    "no_object": (200, "[1, 2]", "application/json", {}),
    "proxy_page": (403, "<html>Blocked by policy</html>", "text/html", {}),
    "redirect": (302, "", "text/plain", {"Location": "https://elsewhere.example.com/v1/profiles"}),
    "foreign_next": (
        200, '{"data": [], "links": {"next": "https://elsewhere.example.com/v1/profiles?cursor=x"}}', "application/json", {},
    ),
}  # fmt: skip


def _body(reply: Reply) -> tuple[bytes, str]:
    if reply.text:
        return reply.text.encode(), "text/plain"
    if reply.fault is not None and reply.fault.name == "endless" and isinstance(reply.document, dict):
        links = reply.document.get("links", {})
        reply.document["links"] = {**links, "next": links.get("self", "")}
    return (b"" if reply.document is None else json.dumps(reply.document).encode()), "application/json"
