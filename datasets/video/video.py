"""One open video: its true timeline, and exact frames by index.

Headers are not believed. How many frames there are and when each is shown comes from one pass
over the packets where container and codec are known for one honest packet a frame (`by pts`),
and from decoding everything once where they are not (`by number`):

    by pts      frame i is the decoded frame whose stamp is the i-th of the sorted packet table
    by number   frame i is the i-th frame that leaves the decoder

Old AVIs (UCF101's own among them) hold two pictures in one packet and a stamp for neither, raw
streams have no stamps at all, VP8 and MPEG-4 have packets that show nothing: all go by number.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import index as as_int
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.opening import (
    REENCODE,
    check_is_file,
    opened,
    video_errors,
)
from cliptide.datasets.video.picture import Orientation, PictureMaker
from cliptide.datasets.video.reader import InOrderReader
from cliptide.datasets.video.timeline import (
    DEFAULT_RATE_FPS,
    FrameStamp,
    PacketRow,
    average_rate_fps,
    end_s,
    presentation_times_s,
    shown_stamps,
    table_is_clean,
)

HONEST_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "gif")
ONE_FRAME_A_PACKET = ("h264", "hevc", "av1", "vp9", "gif", "mjpeg", "png", "prores", "ffv1")


def open_video(path: str | os.PathLike[str], *, threads: int = 1) -> "Video":
    """Open a video file, measure its timeline and decode its first frame.

    The first video stream is taken that is no attached picture.

    Args:
        path: A regular file.
        threads: FFmpeg's decoding threads; 0 lets FFmpeg choose. Keep 1 in loader workers.

    Returns:
        The open video; close it, or use it in a `with` block.

    Raises:
        VideoError: The file is not there, cannot be read, is no video, or has no frame that can
            be decoded. Damage further on may show only when frames are read.
        ValueError: `threads` is negative.
    """
    if threads < 0:
        raise ValueError(f"threads is {threads}. Give 0 (FFmpeg chooses) or more.")
    file = check_is_file(path)
    rows, facts = _read_packets(file)
    stamps = shown_stamps(rows) if table_is_clean(rows) else []
    by_pts = bool(stamps)
    reader = InOrderReader(file, threads=threads)
    try:
        with video_errors(file, "its first frame cannot be decoded"):
            first = reader.peek()
        if first is None:
            raise VideoError(f"{file}: no frame of it can be decoded. {REENCODE}")
        if by_pts and first.pts != stamps[0].pts:
            # A recording that begins in mid-stream: its first packets lead to no frame.
            by_pts = False
        if not by_pts:
            stamps = _decode_stamps(file, threads=threads)
        orientation = Orientation.of(first)
        across, down = first.width, first.height
    except BaseException:
        reader.close()
        raise
    pts_s = presentation_times_s(
        [stamp.pts for stamp in stamps], time_base=facts.time_base, rate_fps=facts.rate_fps
    )
    fps = average_rate_fps(pts_s, rate_fps=facts.rate_fps)
    return Video(
        file,
        pts_s=pts_s,
        duration_s=end_s(
            pts_s, last_duration=stamps[-1].duration, time_base=facts.time_base, fps=fps
        ),
        fps=fps,
        height=across if orientation.transpose else down,
        width=down if orientation.transpose else across,
        orientation=orientation,
        has_audio=facts.has_audio,
        pts=[stamp.pts for stamp in stamps] if by_pts else None,
        reader=reader,
        threads=threads,
    )


class Video:
    """One open video file; made by `open_video`.

    Reading forward continues where the last call ended; a frame further back starts again from
    the first. Not for use by several threads at once.

    Attributes:
        path: The file.
        num_frames: Frames that can be asked for, counted, not believed from the header.
        duration_s: From the first frame's display to the end of the last one's, seconds.
        width: Pixels across, upright.
        height: Pixels down, upright.
        fps: Average rate over the timeline, frames a second; the stream's nominal rate where
            all frames share one instant.
        pts_s: (num_frames,) float64, when each frame is shown, seconds; the first 0, never
            decreasing. Read-only.
        rotation: Degrees clockwise the stored picture was turned to stand upright: 0, 90, 180
            or 270. A mirror flag is followed too.
        has_audio: Whether the file has a sound track.
    """

    def __init__(
        self,
        path: Path,
        *,
        pts_s: NDArray[np.float64],
        duration_s: float,
        fps: float,
        height: int,
        width: int,
        orientation: Orientation,
        has_audio: bool,
        pts: Sequence[int | None] | None,
        reader: InOrderReader,
        threads: int,
    ) -> None:
        pts_s.flags.writeable = False
        self.path = path
        self.num_frames = len(pts_s)
        self.duration_s = duration_s
        self.width = width
        self.height = height
        self.fps = fps
        self.pts_s = pts_s
        self.rotation = orientation.rotation
        self.has_audio = has_audio
        self._index_by_pts = None if pts is None else {stamp: i for i, stamp in enumerate(pts)}
        self._pictures = PictureMaker(orientation)
        self._threads = threads
        self._reader: InOrderReader | None = reader
        self._num_passed = 0  # frames below this index may already have left the reader
        self._num_decoded = 0  # frames that have left the reader
        self._is_closed = False

    def frames_at(
        self, indices: Sequence[int], *, size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """Read frames by index, exactly, in the order asked.

        Decodes once in order up to the last wanted frame and converts only wanted ones; memory
        is the returned array and one frame. Colour and resizing: see the module `picture`.

        Args:
            indices: N frame numbers, 0..num_frames - 1, in any order, repeats allowed.
            size: (height, width) to resize to; None keeps the video's. A frame of another size
                than the first, in a stream that changes midway, is resized to the first's.

        Returns:
            (N, height, width, 3) uint8 RGB, upright.

        Raises:
            ValueError: An index or the size is out of range, or the video is closed.
            VideoError: A wanted frame cannot be decoded.
        """
        if self._is_closed:
            raise ValueError(f"{self.path}: the video is closed. Open it again to read frames.")
        height, width = (self.height, self.width) if size is None else size
        if height < 1 or width < 1:
            raise ValueError(f"size is {size}. Give (height, width) of 1 pixel or more.")
        places: dict[int, list[int]] = {}
        for place, index in enumerate(map(as_int, indices)):
            if not 0 <= index < self.num_frames:
                raise ValueError(
                    f"{self.path}: frame {index} was asked for, but it has {self.num_frames}. "
                    f"Ask for 0 to {self.num_frames - 1}."
                )
            places.setdefault(index, []).append(place)
        frames = np.empty((sum(map(len, places.values())), height, width, 3), np.uint8)
        if not places:
            return frames

        missing = set(places)
        doing = f"frame {min(missing)} or one before it cannot be decoded or converted"
        try:
            with video_errors(self.path, doing):
                if self._reader is None or min(missing) < self._num_passed:
                    self._restart()
                while missing and (found := self._next_frame()) is not None:
                    number, frame = found
                    if number in missing:
                        missing.remove(number)
                        frames[places[number]] = self._pictures.picture(
                            frame, height=height, width=width
                        )
        except BaseException:
            # After an error nobody knows where the decoder stands.
            self._drop_reader()
            raise
        if missing:
            self._drop_reader()
            raise VideoError(
                f"{self.path}: frame {min(missing)} of {self.num_frames} is listed but the "
                f"decoder does not give it. {REENCODE}"
            )
        return frames

    def close(self) -> None:
        """Close the file; reading afterwards is an error, the attributes stay."""
        self._drop_reader()
        self._is_closed = True

    def _next_frame(self) -> tuple[int | None, VideoFrame] | None:
        """Decode one frame and say which it is: None for one that is not in the table."""
        frame = None if self._reader is None else next(self._reader, None)
        if frame is None:
            return None
        if self._index_by_pts is None:
            index: int | None = self._num_decoded
        else:
            index = self._index_by_pts.get(frame.pts)
        self._num_decoded += 1
        if index is not None:
            self._num_passed = max(self._num_passed, index + 1)
        return index, frame

    def _restart(self) -> None:
        self._drop_reader()
        self._reader = InOrderReader(self.path, threads=self._threads)

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._num_decoded = self._num_passed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Video({str(self.path)!r}, num_frames={self.num_frames}, "
            f"{self.width}x{self.height}, {self.duration_s:.3f} s)"
        )


@dataclass(frozen=True)
class _StreamFacts:
    """What the header tells and cannot well lie about.

    Attributes:
        time_base: Seconds in one unit of the time stamps.
        rate_fps: The nominal rate, for where time stamps say nothing.
        has_audio: Whether there is a sound track.
    """

    time_base: Fraction
    rate_fps: float
    has_audio: bool


def _read_packets(path: Path) -> tuple[list[PacketRow], _StreamFacts]:
    """List the packets without decoding; no rows where container or codec make them worthless."""
    with opened(path, threads=1) as (container, stream):
        facts = _StreamFacts(
            time_base=_fraction(stream.time_base),
            rate_fps=_nominal_rate_fps(stream),
            has_audio=bool(container.streams.audio),
        )
        if not _one_honest_packet_a_frame(container, stream):
            return [], facts
        with video_errors(path, "it is damaged or cut short"):
            rows = [
                PacketRow(
                    packet.pts,
                    packet.dts,
                    packet.duration or 0,
                    packet.is_keyframe,
                    packet.is_discard,
                    packet.is_corrupt,
                )
                for packet in container.demux(stream)
                if packet.size  # the last one is empty: it tells a decoder to flush
            ]
    return rows, facts


def _decode_stamps(path: Path, *, threads: int) -> list[FrameStamp]:
    """Decode the whole file once, in order, for the stamps of its frames."""
    stamps: list[FrameStamp] = []
    with opened(path, threads=threads) as (container, stream):
        frames = container.decode(stream)
        while True:
            with video_errors(path, f"it is damaged or cut short behind frame {len(stamps)}"):
                frame = next(frames, None)
            if frame is None:
                return stamps
            stamps.append(FrameStamp(frame.pts, frame.duration or 0))


def _one_honest_packet_a_frame(container: InputContainer, stream: VideoStream) -> bool:
    return (
        container.format.name in HONEST_CONTAINERS
        and stream.codec_context.codec.canonical_name in ONE_FRAME_A_PACKET
    )


def _fraction(time_base: Fraction | None) -> Fraction:
    """Make a Python fraction of PyAV's time base, of its own type from 19 on; 1/1000 for none."""
    if time_base is None:
        return Fraction(1, 1000)
    return Fraction(time_base.numerator, time_base.denominator)


def _nominal_rate_fps(stream: VideoStream) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        # PyAV 19 gives 0/0 for an unknown rate, earlier ones None.
        if rate is not None and rate.numerator > 0 and rate.denominator > 0:
            return float(rate)
    return DEFAULT_RATE_FPS
