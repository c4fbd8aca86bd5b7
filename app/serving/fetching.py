"""Fetching a video from an address on the allow-list, and from nowhere else.

The name is looked up once, what it stands for is checked, and that very address is connected to:
a name that changes its mind between check and use (DNS rebinding) gains nothing. Redirects are not
followed, for they lead off the list.
"""

import asyncio
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from cliptide.app.serving.errors import ApiError
from cliptide.app.serving.limits import Limits
from cliptide.app.serving.uploads import VideoFile, clean_name
from cliptide.configs.errors import InputError

MOST_URL = 2048
_PORTS = {"http": 80, "https": 443}
_CHUNK = 2**16


class _Place(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str
    query: str


def check_prefixes(prefixes: Sequence[str]) -> None:
    """Refuse what is no beginning of an address.

    Raises:
        InputError: A prefix is no http or https address.
    """
    for prefix in prefixes:
        if _parsed(prefix) is None or urlsplit(prefix).query:
            raise InputError(
                f"--allow_url {prefix!r} is no beginning of an address. Give one such as "
                "https://media.example.org/clips/"
            )


def _parsed(url: str) -> _Place | None:
    """The parts of an address; None for one that two programs might read differently."""
    if len(url) > MOST_URL or not url.isascii() or not url.isprintable() or {*" \\"} & {*url}:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    path = parts.path or "/"
    segments = unquote(unquote(path)).replace("\\", "/").split("/")
    if ".." in segments or "." in segments:
        return None
    return _Place(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], path, parts.query)


def _allowed(place: _Place, prefixes: Sequence[str]) -> bool:
    for prefix in prefixes:
        begin = _parsed(prefix)
        if begin is None or begin[:3] != place[:3]:
            continue
        folder = begin.path if begin.path.endswith("/") else begin.path + "/"
        if place.path == begin.path or place.path.startswith(folder):
            return True
    return False


async def fetch(url: str, video: VideoFile, *, allowed: Sequence[str], limits: Limits) -> None:
    """Fetch a video.

    Args:
        url: Where it is.
        video: Where it goes.
        allowed: Beginnings of the addresses that may be fetched from.
        limits: Of size and time.

    Raises:
        ApiError: It may not be fetched, cannot be, or is too large.
    """
    place = _parsed(url)
    if place is None or not _allowed(place, allowed):
        mend = f"Use one below {' or '.join(allowed)}." if allowed else "Send the file itself."
        raise ApiError(
            422, "url_not_allowed", f"This server does not fetch from {url[:200]!r}. {mend}"
        )
    video.name = clean_name(unquote(place.path))
    is_left = threading.Event()
    # A thread of its own: a few slow sites would hold all that asyncio has, and streams need those.
    thread = ThreadPoolExecutor(1, thread_name_prefix="fetching")
    fetching = partial(_fetch, place, video, limits=limits, is_left=is_left)
    done = asyncio.get_running_loop().run_in_executor(thread, fetching)
    thread.shutdown(wait=False)
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        # The file must not be closed under the thread.
        is_left.set()
        await asyncio.wait([done])
        raise
    except (OSError, HTTPException, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or type(error).__name__
        raise _failed(place, f"cannot be fetched ({cause})") from error


def _failed(place: _Place, why: str) -> ApiError:
    return ApiError(
        422,
        "url_failed",
        f"{place.scheme}://{place.host}{place.path} {why}. Mend the address, or send the file.",
    )


def _fetch(place: _Place, video: VideoFile, *, limits: Limits, is_left: threading.Event) -> None:
    deadline = time.monotonic() + limits.time_s
    with closing(_connected(place, timeout_s=min(10.0, limits.silence_s))) as connection:
        # Bound by silence, and between the chunks by the deadline.
        connection.sock.settimeout(limits.silence_s)
        target = f"{place.path}?{place.query}" if place.query else place.path
        headers = {"User-Agent": "cliptide", "Accept-Encoding": "identity"}
        connection.request("GET", target, headers=headers)
        answer: HTTPResponse = connection.getresponse()
        if 300 <= answer.status < 400:
            raise _failed(place, "leads elsewhere, where this server does not follow")
        if answer.status != 200:
            raise _failed(place, f"answers {answer.status}")
        while data := answer.read1(_CHUNK):
            if is_left.is_set():
                return
            if time.monotonic() > deadline:
                raise _failed(place, f"takes longer than {limits.time_s:g} s")
            if video.num_bytes + len(data) > limits.upload_bytes:
                raise ApiError(
                    413,
                    "too_large",
                    f"The video is larger than the {limits.upload_mb:g} MiB that this server "
                    "takes. Name a shorter or smaller one.",
                )
            video.write(data)
        if answer.length:  # http.client takes an early end for the end
            raise _failed(place, f"broke off {answer.length} bytes before its end")


def _connected(place: _Place, *, timeout_s: float) -> HTTPConnection:
    """A connection to an address that was looked at first."""
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    # Whoever lists an address itself, or this machine, means it.
    is_explicit = place.host == "localhost" or _is_address(place.host)
    if not is_explicit and not all(_is_public(address) for address in addresses):
        raise _failed(place, "stands for a private address; list that itself to allow it")
    sock = socket.create_connection((addresses[0], place.port), timeout_s)
    try:
        if place.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=place.host)
    except BaseException:
        sock.close()
        raise
    connection = HTTPConnection(place.host, place.port)
    connection.sock = sock
    return connection


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_global and not mapped.is_multicast)
