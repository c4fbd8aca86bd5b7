"""Running a server: its socket, its signals, and an end that finishes what was taken."""

import asyncio
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cliptide.app.inference.terminal import log, warn
from cliptide.app.serving.admission import Admission
from cliptide.app.serving.context import Serving
from cliptide.app.serving.errors import error_body
from cliptide.app.serving.factory import create_app
from cliptide.app.serving.fetching import check_prefixes
from cliptide.app.serving.keys import check_key
from cliptide.app.serving.limits import Limits
from cliptide.app.serving.metrics import Metrics
from cliptide.app.serving.pool import DecoderPool
from cliptide.app.serving.served import load_models
from cliptide.app.serving.streaming import StreamHub
from cliptide.app.serving.transport import access
from cliptide.configs.errors import ConfigError, InputError
from cliptide.datasets.processes import usable_cores

HEAD_WITHIN_S = 20.0
KEEP_ALIVE_S = 15
MOST_MESSAGE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ServerOptions:
    """How to serve.

    Attributes:
        host: Address to listen at.
        port: Port; 0 takes a free one.
        key: The API key; None lets all in.
        allowed_urls: Beginnings of the addresses that are fetched from.
        workers: Processes that decode; None for one a core, and two at least.
        device: Where to compute.
        grace_s: Seconds that what was taken has to finish in at the end.
        access_log: Whether to write a line for each request.
        limits: What one request may cost.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    allowed_urls: tuple[str, ...] = ()
    workers: int | None = None
    device: str = "auto"
    grace_s: float = 30.0
    access_log: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}. Give 1 to 65535, or 0 for a free one.")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers is {self.workers}. Give 1 or more, or auto.")
        if not 0 <= self.grace_s < float("inf"):
            raise ConfigError(f"grace_s is {self.grace_s}. Give seconds, 0 or more.")
        check_key(self.key)
        check_prefixes(self.allowed_urls)


def serve(models: Sequence[str], options: ServerOptions) -> None:
    """Serve models until a signal ends it.

    Args:
        models: Model files, each `PATH` or `NAME=PATH`; the first is the default.
        options: How.

    Raises:
        InputError: A model, the address or an option is wrong.
    """
    listening = _bound(options.host, options.port)
    try:
        metrics = Metrics()
        served = load_models(
            models,
            device=options.device,
            on_batch=lambda name, count: metrics.batch_clips.labels(name).observe(count),
        )
        if options.key is None and not _is_loopback(options.host):
            warn(f"Everybody who reaches {options.host} may use this server: it has no --key.")
        asyncio.run(_serve(served, options, metrics, listening))
    finally:
        listening.close()


async def _serve(
    served: dict[str, Any], options: ServerOptions, metrics: Metrics, listening: socket.socket
) -> None:
    serving = Serving(
        models=served,
        pool=DecoderPool(
            # Two at least: one long video must not hold up all others.
            options.workers or max(2, usable_cores()),
            memory_mb=options.limits.memory_mb,
            on_death=lambda cause: metrics.workers_lost.labels(cause).inc(),
        ),
        admission=Admission(options.limits.queue),
        metrics=metrics,
        limits=options.limits,
        key=options.key,
        allowed_urls=options.allowed_urls,
    )
    _set_up_logs(access_log=options.access_log)
    hub = StreamHub(serving)
    config = uvicorn.Config(
        create_app(serving, hub),
        http=_BoundedHttp,
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # JPEGs are compressed, and bombs are not
        lifespan="off",
        log_config=None,
        access_log=False,  # it would write the query, where a key may stand
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(options.grace_s)),
    )
    try:
        await serving.start()
        await _Server(config, serving, hub, listening).serve(sockets=[listening])
    finally:
        await serving.close()


class _Server(uvicorn.Server):
    """Says where it serves, and ends in order."""

    def __init__(
        self, config: uvicorn.Config, serving: Serving, hub: StreamHub, listening: socket.socket
    ) -> None:
        super().__init__(config)
        self._serving, self._hub, self._listening = serving, hub, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self._listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            names = ", ".join(self._serving.models)
            log(f"Serving {names} at http://{shown}:{port}  (Ctrl-C ends it)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        count = self._serving.admission.num_inside
        log(f"Stopping; {count} in work." if count else "Stopping.")
        self._serving.admission.is_open = False
        for server in self.servers:
            server.close()
        await self._hub.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Unlike uvicorn's, raises the signal no second time: a graceful end is a success.
        def handle(number: int, frame: FrameType | None) -> None:
            if self.should_exit:
                self.force_exit = True
            self.should_exit = True

        before = {number: signal.signal(number, handle) for number in _STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_STOPS = (signal.SIGINT, signal.SIGTERM)


class _BoundedHttp(H11Protocol):
    """Ends connections that never send a whole head, and tells what is no HTTP as JSON."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._end_without_head()

    def data_received(self, data: bytes) -> None:
        was_waiting = self.timeout_keep_alive_task is not None
        super().data_received(data)
        # The first bytes of another head have ended the wait for it; now the rest is waited for.
        if was_waiting and self.timeout_keep_alive_task is None and self.cycle.response_complete:
            self._end_without_head()

    def _end_without_head(self) -> None:
        self.loop.call_later(HEAD_WITHIN_S, self._end_if_at, self.cycle)

    def _end_if_at(self, cycle: Any) -> None:
        if self.cycle is cycle and self.transport.get_protocol() is self:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        body = json.dumps(error_body("bad_http", f"{msg} Use an HTTP client such as curl."))
        headers = [("content-type", "application/json"), ("connection", "close")]
        events = [
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body.encode()),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
    except OSError as error:
        raise InputError(f"--host {host}: {error.strerror or error}. Use 127.0.0.1.") from error
    if os.name == "posix":  # on Windows it would let two servers have one port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise InputError(
            f"Cannot listen at {host} port {port}: {error.strerror}. Use another --port, or 0 for "
            "a free one."
        ) from error
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _set_up_logs(*, access_log: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    access.handlers, access.propagate = [handler], False
    access.setLevel(logging.INFO if access_log else logging.WARNING)
    for name in ("cliptide.serving", "uvicorn.error"):
        errors = logging.getLogger(name)
        errors.handlers, errors.propagate = [handler], False
        errors.setLevel(logging.WARNING)  # uvicorn's notes on WebSockets hold the query too
