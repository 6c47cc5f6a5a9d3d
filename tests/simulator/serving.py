"""The tests' portal on a real loopback port, with a push client of its own."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from protocol.push import PushNotification
from simulator.apple import FakeApple
from tests.simulator.portal import Portal


@contextmanager
def serving(portal: Portal) -> Iterator[None]:
    """Serve the portal on a free port, which becomes its base_url."""
    lock = threading.Lock()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length)
            if len(body) < length:  # the fleet was stopped in the middle of a request
                self.close_connection = True
                return
            request = httpx.Request(
                self.command, f"{portal.base_url}{self.path}", headers=dict(self.headers), content=body
            )
            try:
                with lock:
                    answer = portal.handle(request)
            except httpx.ConnectError:
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            if "Content-Type" in answer.headers:
                self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    portal.base_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def wake(portal: Portal, apple: FakeApple, url: str) -> list[int]:
    """Push to every token the portal knows; the statuses."""
    context = ssl.create_default_context(cafile=str(apple.ca))
    context.load_cert_chain(apple.push_certificate, apple.push_key)
    tokens = {message.identity.enrollment_id: message for message in portal.token_updates()}
    statuses = []
    async with httpx.AsyncClient(http2=True, http1=False, verify=context, base_url=url, trust_env=False) as client:
        for message in tokens.values():
            push = PushNotification(
                token=message.token,
                push_magic=message.push_magic,
                topic=message.topic,
                expiration=int(time.time()) + 600,
            )
            answer = await client.post(push.path(), headers=push.headers(), content=push.body())
            statuses.append(answer.status_code)
    return statuses
