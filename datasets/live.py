"""Live sources: webcams and network streams, of which the newest frame counts.

A thread of its own takes every frame that the source gives and keeps the newest one that is due at
the asked rate. Whoever is too slow to take them all gets the newest, and is told how many it
missed; nothing queues up, so nothing lags behind more and more. A source that is lost is opened
again, after longer and longer waits.

A recording behind a URL, and live streams that come in pieces of seconds (HLS, DASH), are taken at
their own speed: all of a piece is there at once, and the newest frame would be its last.
"""

import math
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame

from cliptide.configs.errors import InputError, VideoError
from cliptide.datasets.fitting import Fit, place, set_in_frame
from cliptide.datasets.video.picture import Crop, Picture, PictureMaker
from cliptide.datasets.video.timeline import TOLERANCE_S

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
# A time stamp this far from the one before is a new recording, not a pause.
LONGEST_GAP_S = 10.0
# What a stream of these schemes ends with is a lost connection; a file behind http just ends.
ENDLESS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "tcp")
IN_PIECES = ("hls", "dash")  # FFmpeg's names
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def is_live(source: str) -> bool:
    """Whether a source is a webcam's number or a URL, and not a file."""
    return source.isdecimal() or _SCHEME.match(source) is not None


@dataclass(frozen=True)
class Arrival:
    """One frame of a live source.

    Attributes:
        time_s: When it was shown, seconds from the first frame; from the stream's own clock
            where it has one.
        arrived_s: When it was there, seconds of `time.monotonic`.
        picture: (height, width, 3) uint8 RGB, fitted to the asked size.
        begins: Whether it follows a break: what was before has nothing to do with it.
        dropped: Due frames so far that nobody took in time.
    """

    time_s: float
    arrived_s: float
    picture: Picture
    begins: bool
    dropped: int


class FrameFitter:
    """Fits decoded frames of one source to a size, as a model learnt to see them.

    Args:
        size: (height, width).
        fit: See `fitting.place`.
    """

    def __init__(self, size: tuple[int, int], fit: Fit) -> None:
        self._size, self._fit = size, fit
        self._pictures: PictureMaker | None = None
        self._made_for = (0, 0)

    def __call__(self, frame: VideoFrame) -> Picture:
        """Give (height, width, 3) uint8 RGB."""
        if self._pictures is None or self._made_for != (frame.height, frame.width):
            self._pictures, self._made_for = PictureMaker(frame), (frame.height, frame.width)
        seen = (self._pictures.height, self._pictures.width)
        placement = place(self._fit, video_size=seen, size=self._size)
        picture = np.empty((*placement.size, 3), np.uint8)
        crop = None if placement.crop is None else Crop(*placement.crop)
        self._pictures.write(frame, picture, crop=crop)
        fitted: Picture = set_in_frame(picture[None], placement, size=self._size)[0]
        return fitted


class Device(Protocol):
    """An open source."""

    def frames(self) -> Iterator[tuple[float | None, VideoFrame]]:
        """Time stamps, seconds or None, and frames, as they come; ends where the source does."""

    def close(self) -> None:
        """Let go of it."""


class Camera:
    """A webcam, through OpenCV: PyAV's wheels have no capture devices.

    Args:
        number: 0 for the first.

    Raises:
        InputError: There is none.
    """

    def __init__(self, number: int) -> None:
        import cv2

        self._number = number
        # What it would print of a camera that is not there, we say.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            self._capture.release()
            raise InputError(
                f"There is no camera {number}, or another program uses it. Give the number of "
                "one that is there (0 is the first), a URL such as rtsp://..., or a file."
            )

    def frames(self) -> Iterator[tuple[float | None, VideoFrame]]:
        """See `Device.frames`."""
        while True:
            read, picture = self._capture.read()
            if not read:
                return
            yield None, VideoFrame.from_ndarray(np.asarray(picture, np.uint8), format="bgr24")

    def close(self) -> None:
        """See `Device.close`."""
        self._capture.release()


class NetworkStream:
    """A stream that FFmpeg opens by its URL.

    Args:
        url: `rtsp://`, `http://`, `udp://` or another of FFmpeg's.

    Attributes:
        is_endless: Whether its end means that it is lost.
        is_ahead: Whether frames are there before it is their time.
        failure: Why it gives no more; empty where it ended.

    Raises:
        VideoError: It cannot be opened.
    """

    def __init__(self, url: str) -> None:
        scheme = _SCHEME.match(url)
        self.is_endless = scheme is not None and scheme[1].lower() in ENDLESS
        # What was read to learn what it is: of a live stream old, of a recording its beginning.
        options = {"fflags": "nobuffer"} if self.is_endless else {}
        if scheme is not None and scheme[1].lower() == "rtsp":
            options["rtsp_transport"] = "tcp"  # lost datagrams would be torn pictures
        try:
            self._container = av.open(
                url, options=options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S)
            )
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                f"{without_password(url)} cannot be opened ({_cause(error)}). Check the address "
                "and that the stream is running."
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise VideoError(f"{without_password(url)} has no picture. Give a stream of video.")
        self.is_endless = self.is_endless or self._container.duration is None
        kinds = self._container.format.name.split(",")
        self.is_ahead = not self.is_endless or any(kind in IN_PIECES for kind in kinds)
        self.failure = ""

    def frames(self) -> Iterator[tuple[float | None, VideoFrame]]:
        """See `Device.frames`."""
        try:
            for packet in self._container.demux(video=0):
                try:
                    decoded = packet.decode()
                except InvalidDataError:
                    continue  # one damaged picture is no lost stream
                for frame in decoded:
                    yield frame.time, frame
        except (FFmpegError, OSError) as error:
            self.failure = _cause(error)  # lost, as a camera is

    def close(self) -> None:
        """See `Device.close`."""
        self._container.close()


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url)


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class LiveSource:
    """The newest frames of a source, at a rate.

    Args:
        source: A webcam's number or a URL.
        rate_fps: Frames a second.
        size: (height, width) of the frames.
        fit: How pictures are fitted into them.
        reconnect_s: How long a lost source is tried to be had again, seconds.
        on_status: Told in words when it is lost, tried again and back.

    Raises:
        InputError: There is no such camera.
        VideoError: The stream cannot be opened.
    """

    def __init__(
        self,
        source: str,
        *,
        rate_fps: float,
        size: tuple[int, int],
        fit: Fit,
        reconnect_s: float = 60.0,
        on_status: Any = lambda text: None,
    ) -> None:
        self._source, self._period_s = source, 1 / rate_fps
        self._fitter = FrameFitter(size, fit)
        self._reconnect_s, self._on_status = reconnect_s, on_status
        self._slot: Arrival | None = None
        self._changed = threading.Condition()
        self._dropped = 0
        self._capture: _Capture | None = None
        self._ended = False
        self._lost_s: float | None = None  # since when, while no picture comes
        self._wait_s = FIRST_WAIT_S
        self._connect()

    def _connect(self) -> None:
        device: Any = (
            Camera(int(self._source)) if self._source.isdecimal() else NetworkStream(self._source)
        )
        before, self._capture = self._capture, _Capture(device, self)
        if before is not None:
            # The stream's time goes on as the clock on the wall did.
            self._capture.begin_at(before.last_s + time.monotonic() - before.heard_s)
        self._capture.start()

    @property
    def _name(self) -> str:
        name = without_password(self._source)
        return f"Camera {name}" if name.isdecimal() else name

    def arrivals(self) -> Iterator[Arrival]:
        """The newest due frame, again and again, until the source ends.

        Raises:
            VideoError: The source was lost and not to be had again.
        """
        try:
            while True:
                arrival = self._take()
                if arrival is not None:
                    if self._lost_s is not None:
                        self._on_status(f"{self._name} is back")
                    self._lost_s, self._wait_s = None, FIRST_WAIT_S
                    yield arrival
                elif self._ended:
                    self._require_whole()
                    return
                else:
                    self._reconnect()
        finally:
            self.close()

    def _take(self) -> Arrival | None:
        """The newest frame; None when the source is gone, or gives none for too long."""
        with self._changed:
            capture = self._capture
            assert capture is not None
            # Of the source, not of the due frames: at a low rate those are further apart.
            while not self._slot and not capture.is_over:
                left_s = capture.heard_s + READ_TIMEOUT_S - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            arrival, self._slot = self._slot, None
            if arrival is None and capture.is_over and not capture.is_endless:
                self._ended = True
            return arrival

    def _require_whole(self) -> None:
        """Raise where a recording did not just end."""
        assert self._capture is not None
        failure = self._capture.failure
        if failure:
            raise VideoError(
                f"{self._name} broke off at {self._capture.last_s:.1f} s ({failure}). Try again, "
                "or download the file and watch that."
            )
        if not self._capture.num_heard:
            raise VideoError(
                f"{self._name} has no picture that can be decoded. Give another stream of video."
            )

    def put(self, capture: "_Capture", time_s: float, frame: VideoFrame, *, begins: bool) -> None:
        """Take a due frame from the thread that captures."""
        picture, now_s = self._fitter(frame), time.monotonic()
        with self._changed:
            if capture is not self._capture:
                return  # given up
            if self._slot is not None:
                self._dropped += 1
                begins = begins or self._slot.begins
            self._slot = Arrival(time_s, now_s, picture, begins, self._dropped)
            self._changed.notify_all()

    def over(self) -> None:
        """Hear from the thread that captures that its source gives no more."""
        with self._changed:
            self._changed.notify_all()

    def _reconnect(self) -> None:
        if self._lost_s is None:
            self._lost_s = time.monotonic()
        assert self._capture is not None
        self._capture.close()
        while True:
            left_s = self._reconnect_s - (time.monotonic() - self._lost_s)
            if left_s <= 0:
                raise VideoError(
                    f"{self._name} gave no picture any more and did not come back within "
                    f"{self._reconnect_s:.0f} s. Check the cable or the network, or wait longer "
                    "with a larger --reconnect_s."
                )
            pause_s = min(self._wait_s, left_s)
            self._on_status(f"{self._name} is lost; trying again in {pause_s:.0f} s")
            time.sleep(pause_s)
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            try:
                self._connect()
            except (InputError, VideoError):
                continue
            return  # whether it is back, its first picture tells

    def close(self) -> None:
        """Let go of the source."""
        if self._capture is not None:
            self._capture.close()

    @property
    def period_s(self) -> float:
        """Seconds between due frames."""
        return self._period_s


class _Capture:
    """The thread that takes every frame of an open device.

    Attributes:
        is_over: Whether the device gives no more.
        is_endless: Whether that means that it is lost.
        last_s: The time of the last frame.
        heard_s: When that came, or is to be shown, seconds of `time.monotonic`.
        num_heard: Frames so far.
    """

    def __init__(self, device: Any, owner: LiveSource) -> None:
        self._device, self._owner = device, owner
        self.is_over, self.is_endless = False, getattr(device, "is_endless", True)
        self._is_ahead = getattr(device, "is_ahead", False)
        self._origin_s = self.last_s = 0.0
        self.heard_s, self.num_heard = time.monotonic(), 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cliptide-capture", daemon=True)

    @property
    def failure(self) -> str:
        """Why the device gives no more; empty where it ended."""
        return getattr(self._device, "failure", "")

    def begin_at(self, time_s: float) -> None:
        """Set the time of the first frame; 0 otherwise."""
        self._origin_s = self.last_s = time_s

    def start(self) -> None:
        """Begin to take frames."""
        self._thread.start()

    def _run(self) -> None:
        period_s, due_s, begins = self._owner.period_s, -math.inf, True
        first_s: float | None = None
        shift_s = before_s = before_now_s = 0.0
        began_s = time.monotonic()
        try:
            for stamp_s, frame in self._device.frames():
                if self._stopped.is_set():
                    return
                now_s = time.monotonic() - began_s
                time_s = now_s
                if stamp_s is not None:
                    first_s = stamp_s if first_s is None else first_s
                    time_s = stamp_s - first_s + shift_s
                    if not -TOLERANCE_S <= time_s - before_s <= LONGEST_GAP_S:
                        # Its clock jumped: go on by the clock of this machine.
                        went_on_s = before_s + now_s - before_now_s
                        shift_s += went_on_s - time_s
                        time_s, begins = went_on_s, True
                    before_s, before_now_s = time_s, now_s
                early_s = max(0.0, time_s - now_s) if self._is_ahead else 0.0
                self.heard_s, self.num_heard = began_s + now_s + early_s, self.num_heard + 1
                if early_s > 0 and self._stopped.wait(early_s):
                    return
                self.last_s = self._origin_s + time_s
                if time_s >= due_s - TOLERANCE_S:
                    due_s = (math.floor(time_s / period_s + TOLERANCE_S) + 1) * period_s
                    self._owner.put(self, self.last_s, frame, begins=begins)
                    begins = False
        finally:
            self.is_over = True
            self._owner.over()
            self._device.close()

    def close(self) -> None:
        """Stop; a device that hangs in a read ends with the process."""
        self._stopped.set()
        self._thread.join(timeout=0.5)
