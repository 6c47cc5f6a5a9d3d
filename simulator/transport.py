"""The drivers of the flows: `run` over a blocking httpx client, `run_async` over an asyncio one.

Keys are made in the given executor, so that a loop with hundreds of devices stays awake. Redirects are followed, as
devices do.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from simulator.errors import ConnectionFailed
from simulator.flows import Flow, HttpRequest, HttpResponse, KeyRequest

T = TypeVar("T")


def generate_key(size: int) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=size)


def run(flow: Flow[T], client: httpx.Client, *, make_key: Callable[[int], RSAPrivateKey] = generate_key) -> T:
    """Run a flow to its end and give back what it returns; its errors come out as they are.

    `client` may be any httpx client, also one over WSGI (`httpx.WSGITransport`), `make_key` a pool of ready keys.
    """
    step: HttpRequest | KeyRequest
    try:
        step = next(flow)
        while True:
            if isinstance(step, KeyRequest):
                step = flow.send(make_key(step.size))
                continue
            try:
                answer = client.send(_build(client, step), follow_redirects=True)
            except httpx.RequestError as error:
                step = flow.throw(ConnectionFailed(type(error).__name__))
            else:
                step = flow.send(_response(answer))
    except StopIteration as end:
        result: T = end.value
        return result


def _nothing() -> None:
    """The default of `before_request`."""


async def run_async(
    flow: Flow[T],
    client: httpx.AsyncClient,
    *,
    executor: Executor | None = None,
    before_request: Callable[[], None] = _nothing,
) -> T:
    """As `run`, in a loop. `before_request` is called before each request: the place to save the device's state."""
    step: HttpRequest | KeyRequest
    loop = asyncio.get_running_loop()
    try:
        step = next(flow)
        while True:
            if isinstance(step, KeyRequest):
                step = flow.send(await loop.run_in_executor(executor, generate_key, step.size))
                continue
            before_request()
            try:
                answer = await client.send(_build(client, step), follow_redirects=True)
            except httpx.RequestError as error:
                step = flow.throw(ConnectionFailed(type(error).__name__))
            else:
                step = flow.send(_response(answer))
    except StopIteration as end:
        result: T = end.value
        return result


def _build(client: httpx.Client | httpx.AsyncClient, request: HttpRequest) -> httpx.Request:
    try:
        return client.build_request(request.method, request.url, headers=dict(request.headers), content=request.body)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConnectionFailed("the address is no URL") from error


def _response(answer: httpx.Response) -> HttpResponse:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return HttpResponse(answer.status_code, headers, answer.content)
