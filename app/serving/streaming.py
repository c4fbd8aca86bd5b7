"""`/v1/stream`: JPEG frames in, scores out; the state is the connection's own.

One task listens and one scores. Between them is room for one frame: when this machine is too slow,
the newest frame takes the place of the one that waits.
"""

import asyncio
import json
import math
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from cliptide.app.inference.engine import Frames
from cliptide.app.inference.rules import picture_fit
from cliptide.app.inference.stream import StreamScorer
from cliptide.app.serving.context import Serving
from cliptide.app.serving.errors import ApiError
from cliptide.app.serving.keys import WRONG_KEY, is_right, keys_of
from cliptide.app.serving.pictures import check_jpeg, fitted_jpeg
from cliptide.app.serving.served import ServedModel

MOST_MESSAGE_BYTES = 4 * 2**20
# Close codes (RFC 6455, 7.4.1).
GOING_AWAY, UNSUPPORTED, POLICY, TOO_BIG, BROKEN, TRY_AGAIN = 1001, 1003, 1008, 1009, 1011, 1013
_CODES = {"not_a_jpeg": UNSUPPORTED, "bad_message": UNSUPPORTED, "message_too_large": TOO_BIG}
_CODES |= {"internal": BROKEN, "too_many_streams": TRY_AGAIN, "stopping": GOING_AWAY}
_CLOSE_WITHIN_S = 2.0
EXAMPLE = '{"time_s": 1.25}'
# A frame is due a little early rather than a whole interval late: clocks tremble.
_EARLY = 0.1


class StreamHub:
    """The connections of a server.

    Args:
        serving: The server's parts.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        task = asyncio.ensure_future(self._serve(socket))
        self._tasks.add(task)
        self._serving.metrics.streams.set(len(self._tasks))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
        finally:
            await asyncio.wait([task])
            self._tasks.discard(task)
            self._serving.metrics.streams.set(len(self._tasks))

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            model = self._admitted(socket)
            await Stream(socket, model, self._serving).run()
        except (WebSocketDisconnect, ClosedByPeer):
            return
        except ApiError as error:
            await _refuse(socket, error)
        except asyncio.CancelledError:
            if self._is_stopping:
                await _refuse(socket, ApiError(503, "stopping", "The server is stopping."))
        except Exception:
            message = "The server failed on this stream; its log says why."
            await _refuse(socket, ApiError(500, "internal", message))
            raise

    def _admitted(self, socket: WebSocket) -> ServedModel:
        origin = socket.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
            # Browsers let every page open a WebSocket to anywhere, with this machine's reach.
            raise ApiError(
                403, "wrong_origin", f"The page of {origin[:100]} may not use this server."
            )
        given = [*socket.query_params.getlist("key"), *keys_of(socket.headers)]
        if not is_right(given, self._serving.key):
            raise ApiError(401, "wrong_key", f"{WRONG_KEY} Or add ?key=KEY.")
        if self._is_stopping:
            raise ApiError(503, "stopping", "The server is stopping. Try again later.")
        most = self._serving.limits.streams
        if len(self._tasks) > most:
            raise ApiError(
                503, "too_many_streams", f"{most} streams are open, the most. Try again later."
            )
        model = self._serving.model(socket.query_params.get("model"))
        if not model.recognizer.info.streams.has_seconds:
            raise ApiError(
                422,
                "no_stream",
                f"{model.name} reads {model.samples}, which have no seconds to watch. Send them to "
                "/v1/predict.",
            )
        if not model.takes_frames:
            raise ApiError(
                422,
                "no_stream",
                f"{model.name} does not follow a stream of pictures. Choose a model with "
                "can_stream, or send files to /v1/predict.",
            )
        return model

    async def close(self) -> None:
        """Say good-bye to all."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_CLOSE_WITHIN_S)


class ClosedByPeer(Exception):
    """The other side has gone."""


async def _refuse(socket: WebSocket, error: ApiError) -> None:
    """Say why, and close."""
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    code = _CODES.get(error.code, POLICY)
    try:
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            if code != GOING_AWAY:
                await socket.send_json({"type": "error", **error.to_json()})
            await socket.close(code, error.code)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        pass  # it has gone itself


class Stream:
    """One connection.

    Args:
        socket: Accepted.
        model: What scores.
        serving: The server's parts.
    """

    def __init__(self, socket: WebSocket, model: ServedModel, serving: Serving) -> None:
        self._socket, self._model, self._serving = socket, model, serving
        self._info = model.recognizer.info
        self._scorer = StreamScorer(model.recognizer.engine)
        self._fit = picture_fit(self._info)
        self._began_s = time.monotonic()
        self._given_s: float | None = None  # by the client, for the next frame
        self._last_s = -math.inf  # of the last frame that was due
        self._due_s = -math.inf
        self._waiting: tuple[float, bytes] | None = None
        self._has_frame = asyncio.Event()
        self._taken = self._dropped = 0

    async def run(self) -> None:
        """Go on until either side ends it.

        Raises:
            ApiError: The client sends what it should not.
        """
        await self._socket.send_json(
            {
                "type": "ready",
                "model": self._model.name,
                "labels": list(self._info.class_names),
                "rate_fps": self._info.rate_fps,
                "context_s": self._info.context_s,
                "size": list(self._info.size),
                "delay_s": self._scorer.delay_s,
            }
        )
        tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._score())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            _first_error(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _listen(self) -> None:
        silence_s = self._serving.limits.silence_s
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    message = await self._socket.receive()
            except TimeoutError as error:
                raise ApiError(
                    408, "idle", f"Nothing has come for {silence_s:g} s. Connect again to go on."
                ) from error
            if message["type"] == "websocket.disconnect":
                raise ClosedByPeer
            if message.get("bytes") is not None:
                self._take(message["bytes"])
            else:
                self._given_s = _time_of(message.get("text") or "")

    def _take(self, data: bytes) -> None:
        if len(data) > MOST_MESSAGE_BYTES:
            raise ApiError(
                413,
                "message_too_large",
                f"The message has {len(data)} bytes, and {MOST_MESSAGE_BYTES} are taken.",
            )
        check_jpeg(data, most_pixels=self._serving.limits.pixels)
        time_s = time.monotonic() - self._began_s if self._given_s is None else self._given_s
        self._given_s = None
        if time_s < self._last_s:
            raise ApiError(
                422,
                "time_goes_back",
                f"The frame at {time_s:g} s comes behind one at {self._last_s:g} s. Send rising "
                "times.",
            )
        counts = self._serving.metrics.stream_frames
        every_s = 1 / self._info.rate_fps
        if time_s < self._due_s - _EARLY * every_s:
            counts.labels("skipped").inc()
            return
        # In step with the rate; where frames come more slowly, with the frames.
        self._due_s = max(self._due_s + every_s, time_s + every_s * (1 - 2 * _EARLY))
        self._last_s = time_s
        if self._waiting is not None:
            self._dropped += 1
            counts.labels("dropped").inc()
        self._waiting = time_s, data
        self._has_frame.set()

    async def _score(self) -> None:
        before_s = math.inf
        while True:
            await self._has_frame.wait()
            self._has_frame.clear()
            assert self._waiting is not None
            (time_s, data), self._waiting = self._waiting, None
            is_anew = time_s - before_s > self._info.context_s
            before_s = time_s
            frame = await asyncio.to_thread(fitted_jpeg, data, size=self._info.size, fit=self._fit)
            scores = await self._model.batcher.run(self._push, frame, is_anew)
            self._taken += 1
            self._serving.metrics.stream_frames.labels("taken").inc()
            await self._socket.send_json(
                {
                    "type": "scores",
                    "time_s": round(time_s, 3),
                    **self._answer(scores),
                    "taken": self._taken,
                    "dropped": self._dropped,
                }
            )

    def _push(self, frame: Frames, is_anew: bool) -> list[float]:
        """In the model's thread: what was seen before a long gap is forgotten."""
        if is_anew:
            self._scorer.restart()
        numbers: list[float] = self._scorer.push(frame).tolist()
        return numbers

    def _answer(self, scores: list[float]) -> dict[str, Any]:
        named = dict(zip(self._info.class_names, scores, strict=True))
        if self._info.task == "regression":
            return {"value": scores[0] if len(scores) == 1 else named}
        labels = self._model.recognizer.labels_for(scores)
        if self._info.task == "multi":
            return {"labels": list(labels), "scores": named}
        return {"label": labels[0], "score": named[labels[0]], "scores": named}


def _first_error(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _time_of(text: str) -> float:
    """The time that a text message gives the frame behind it, seconds."""
    try:
        given = json.loads(text)["time_s"] if len(text) <= 200 else None
    except (ValueError, KeyError, TypeError, RecursionError):
        given = None
    if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 1e9:
        return float(given)
    raise ApiError(
        422,
        "bad_message",
        f"The message is {text[:50]!r}. Send a JPEG as binary, or {EXAMPLE} before it.",
    )


def stream_routes(hub: StreamHub) -> APIRouter:
    """The route of streams."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await hub.serve(socket)

    return router
