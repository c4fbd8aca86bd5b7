"""The API key: who may ask. Compared in constant time, never written anywhere."""

import hmac
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cliptide.app.serving.errors import error_body
from cliptide.configs.errors import InputError

OPEN_PATHS = ("/", "/healthz", "/readyz")
OPEN_FOLDER = "/static/"
WRONG_KEY = (
    "The API key is missing or wrong. Send it as the header 'Authorization: Bearer KEY' or "
    "'X-API-Key: KEY'."
)


def check_key(key: str | None) -> None:
    """Refuse a key that no header can carry.

    Raises:
        InputError: It is empty, or has spaces or characters that are not ASCII.
    """
    if key is not None and not (key.isascii() and key.isprintable() and key.split() == [key]):
        raise InputError("The API key is empty or has spaces or letters beyond ASCII. Change it.")


def is_right(given: Sequence[str], key: str | None) -> bool:
    """Whether a request may be served: it carries the key, and no other beside it."""
    if key is None:
        return True
    right = [hmac.compare_digest(one.encode("utf-8", "replace"), key.encode()) for one in given]
    return bool(right) and all(right)


def keys_of(headers: Mapping[str, str]) -> list[str]:
    """The keys that a request's headers carry; one of another kind than `Bearer` is never right."""
    found = [headers["x-api-key"]] if "x-api-key" in headers else []
    if "authorization" in headers:
        kind, _, bearer = headers["authorization"].partition(" ")
        found.append(bearer.strip() if kind.lower() == "bearer" else "")
    return found


class KeyRequired:
    """Refuses HTTP requests without the key, before anything of them is read.

    Args:
        app: What answers.
        key: The key; None lets all in.
    """

    def __init__(self, app: ASGIApp, *, key: str | None) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        path = scope.get("path", "")
        is_open = path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
        # Streams look for themselves: a browser learns nothing of why a handshake was refused.
        if scope["type"] != "http" or is_open or is_right(keys_of(Headers(scope=scope)), self._key):
            await self._app(scope, receive, send)
            return
        headers = {"WWW-Authenticate": "Bearer"}
        answer = JSONResponse(error_body("wrong_key", WRONG_KEY), 401, headers)
        await answer(scope, receive, send)
