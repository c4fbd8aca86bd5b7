"""Around every request: answers before the body is read, head room, counting, access lines."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

access = logging.getLogger("cliptide.access")

# A client that is refused while it sends hears of it if it is let go on for a moment: closing at
# once resets the connection, and the answer is lost.
_LINGER_S = 2.0
_LINGER_BYTES = 64 * 2**20
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class EarlyAnswers:
    """Ends connections gently whose request was answered before it was read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = {name for name, _ in scope["headers"]}
        is_read = not names & {b"content-length", b"transfer-encoding"}

        async def receiving() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or not message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                given = {name for name, _ in headers}
                headers += [header for header in _HEADERS if header[0] not in given]
                if not is_read:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            elif not is_read and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await _drained(receiving)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        async def _drained(receiving: Callable[[], Any]) -> None:
            count = 0
            # Cancelled when the server ends: then the answer's end is all that is left to do.
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_LINGER_S):
                    while not is_read and count < _LINGER_BYTES:
                        count += len((await receiving()).get("body", b""))

        await self._app(scope, receiving, sending)


class Observed:
    """Tells of each request: its route, status and seconds; never its query, which may hold a key.

    Args:
        app: What answers.
        on_answer: Told route, status and seconds.
    """

    def __init__(self, app: ASGIApp, *, on_answer: Callable[[str, int, float], None]) -> None:
        self._app, self._on_answer = app, on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 499  # as nginx says that the client has gone

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - began_s
            route = getattr(scope.get("route"), "path", "other")
            self._on_answer(route, status, seconds)
            client = (scope.get("client") or ["-"])[0]
            # As it was sent, percent-encoded: no line break can be smuggled into the log.
            path = scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "backslashreplace")
            access.info(
                "%s %s %s %d %.0f ms", client, scope["method"], path, status, 1000 * seconds
            )
