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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import index as as_int
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.opening import (
    REENCODE,
    check_is_file,
    open_stream,
    opened,
    video_errors,
)
from cliptide.datasets.video.picture import PictureMaker
from cliptide.datasets.video.plan import plan_runs, starts_whole
from cliptide.datasets.video.reader import MOST_BYTES_HELD, InOrderReader, PlannedReader
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
    """Open a video file and measure its timeline.

    The first video stream is taken that is no attached picture.

    Args:
        path: A regular file.
        threads: FFmpeg's decoding threads; 0 lets FFmpeg choose. Keep 1 in loader workers.

    Returns:
        The open video; close it, or use it in a `with` block.

    Raises:
        VideoError: The file is not there, cannot be read, is no video, or has no frame. Damage
            further on may show only when frames are read.
        ValueError: `threads` is negative.
    """
    if threads < 0:
        raise ValueError(f"threads is {threads}. Give 0 (FFmpeg chooses) or more.")
    file = check_is_file(path)
    container, stream = open_stream(file, threads=threads)
    try:
        facts = _StreamFacts.of(container, stream)
        rows, packets = _read_packets(file, container, stream)
    except BaseException:
        container.close()
        raise
    planned: PlannedReader | None = None
    if table_is_clean(rows) and starts_whole(rows):
        planned = PlannedReader(container, stream, rows, packets)
        stamps = shown_stamps(rows)
    else:
        container.close()
        stamps = _decode_stamps(file, threads=threads)
    if not stamps:
        raise VideoError(f"{file}: no frame of it can be decoded. {REENCODE}")
    return Video(file, facts=facts, stamps=stamps, rows=rows, planned=planned, threads=threads)


class Video:
    """One open video file; made by `open_video`.

    Not for use by several threads at once.

    Attributes:
        path: The file.
        num_frames: Frames that can be asked for, counted, not believed from the header.
        duration_s: From the first frame's display to the end of the last one's, seconds.
        fps: Average rate over the timeline, frames a second; the stream's nominal rate where
            all frames share one instant.
        pts_s: (num_frames,) float64, when each frame is shown, seconds; the first 0, never
            decreasing. Read-only.
        has_audio: Whether the file has a sound track.
    """

    def __init__(
        self,
        path: Path,
        *,
        facts: "_StreamFacts",
        stamps: Sequence[FrameStamp],
        rows: Sequence[PacketRow],
        planned: PlannedReader | None,
        threads: int,
    ) -> None:
        self.path = path
        self.pts_s = presentation_times_s(
            [stamp.pts for stamp in stamps], time_base=facts.time_base, rate_fps=facts.rate_fps
        )
        self.pts_s.flags.writeable = False
        self.num_frames = len(stamps)
        self.fps = average_rate_fps(self.pts_s, rate_fps=facts.rate_fps)
        self.duration_s = end_s(
            self.pts_s,
            last_duration=stamps[-1].duration,
            time_base=facts.time_base,
            fps=self.fps,
        )
        self.has_audio = facts.has_audio
        self._threads = threads
        self._rows = rows
        self._planned = planned
        # By pts: the index of each stamp, and the packet that holds it. By number: neither.
        self._index_by_pts: dict[int | None, int] | None = None
        if planned is not None:
            self._index_by_pts = {stamp.pts: index for index, stamp in enumerate(stamps)}
            position_by_pts = {row.pts: position for position, row in enumerate(rows)}
            self._positions = [position_by_pts[stamp.pts] for stamp in stamps]
        self._in_order: InOrderReader | None = None
        self._num_decoded = 0  # frames that have left the in-order reader
        self._pictures: PictureMaker | None = None
        self._is_closed = False

    @property
    def width(self) -> int:
        """Pixels across, upright."""
        return self._seen().width

    @property
    def height(self) -> int:
        """Pixels down, upright."""
        return self._seen().height

    @property
    def rotation(self) -> int:
        """Degrees clockwise the stored picture is turned to stand upright: 0, 90, 180 or 270.

        A mirror flag is followed too.
        """
        return self._seen().orientation.rotation

    def _seen(self) -> PictureMaker:
        """What only a frame itself tells for sure: its size and which way is up."""
        if self._pictures is None:
            self.frames_at([0])
        assert self._pictures is not None
        return self._pictures

    def frames_at(
        self, indices: Sequence[int], *, size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """Read frames by index, exactly, in the order asked.

        Decodes what the wanted frames need and converts only them, straight to the size; see
        the modules `plan` and `picture`.

        Args:
            indices: N frame numbers, 0..num_frames - 1, in any order, repeats allowed.
            size: (height, width) to resize to; None keeps the video's. A frame of another size
                than the first read, in a stream that changes midway, is resized to that one's.

        Returns:
            (N, height, width, 3) uint8 RGB, upright.

        Raises:
            ValueError: An index or the size is out of range, or the video is closed.
            VideoError: A wanted frame cannot be decoded.
        """
        if self._is_closed:
            raise ValueError(f"{self.path}: the video is closed. Open it again to read frames.")
        if size is not None and min(size) < 1:
            raise ValueError(f"size is {size}. Give (height, width) of 1 pixel or more.")
        places: dict[int, list[int]] = {}
        for place, index in enumerate(map(as_int, indices)):
            if not 0 <= index < self.num_frames:
                raise ValueError(
                    f"{self.path}: frame {index} was asked for, but it has {self.num_frames}. "
                    f"Ask for 0 to {self.num_frames - 1}."
                )
            places.setdefault(index, []).append(place)
        num_places = sum(map(len, places.values()))
        if not places:
            height, width = size or (self.height, self.width)
            return np.empty((0, height, width, 3), np.uint8)

        frames: NDArray[np.uint8] | None = None
        missing = set(places)
        doing = f"frame {min(missing)} or one that it needs cannot be decoded or converted"
        with video_errors(self.path, doing):
            for index, frame in self._decoded(missing):
                if self._pictures is None:
                    self._pictures = PictureMaker(frame)
                if frames is None:
                    height, width = size or (self._pictures.height, self._pictures.width)
                    frames = np.empty((num_places, height, width, 3), np.uint8)
                first, *others = places[index]
                self._pictures.write(frame, frames[first])
                frames[others] = frames[first]
        if missing:
            raise VideoError(
                f"{self.path}: frame {min(missing)} of {self.num_frames} is listed but the "
                f"decoder does not give it. {REENCODE}"
            )
        assert frames is not None
        return frames

    def close(self) -> None:
        """Close the file; reading afterwards is an error."""
        if self._planned is not None:
            self._planned.close()
        self._drop_in_order()
        self._is_closed = True

    def _decoded(self, missing: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Give the frames of the indices in `missing`, each once, taking them out of it."""
        if self._planned is not None:
            assert self._index_by_pts is not None
            for run in plan_runs(self._rows, [self._positions[index] for index in missing]):
                left = len(run.wanted)
                for frame in self._planned.frames(run):
                    index = self._index_by_pts.get(frame.pts)
                    if index in missing and not frame.is_corrupt:
                        missing.remove(index)
                        left -= 1
                        yield index, frame
                    if not left:
                        break
        if missing:
            # A file whose key frames are none, or one read by number: every frame in order.
            yield from self._decoded_in_order(missing)

    def _decoded_in_order(self, missing: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        try:
            # By pts nothing tells which frames have passed.
            if self._in_order is None or self._planned or min(missing) < self._num_decoded:
                self._drop_in_order()
                self._in_order = InOrderReader(self.path, threads=self._threads)
            while missing and (frame := next(self._in_order, None)) is not None:
                index: int | None = self._num_decoded
                if self._index_by_pts is not None:
                    index = self._index_by_pts.get(frame.pts)
                self._num_decoded += 1
                if index in missing:
                    missing.remove(index)
                    yield index, frame
        except BaseException:
            # After an error nobody knows where the decoder stands.
            self._drop_in_order()
            raise
        if missing:
            self._drop_in_order()

    def _drop_in_order(self) -> None:
        if self._in_order is not None:
            self._in_order.close()
        self._in_order, self._num_decoded = None, 0

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
        return f"Video({str(self.path)!r}, num_frames={self.num_frames}, {self.duration_s:.3f} s)"


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

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> Self:
        """Read the facts of an open stream."""
        return cls(
            time_base=_fraction(stream.time_base),
            rate_fps=_nominal_rate_fps(stream),
            has_audio=bool(container.streams.audio),
        )


def _read_packets(
    path: Path, container: InputContainer, stream: VideoStream
) -> tuple[list[PacketRow], "list[Packet[VideoStream]] | None"]:
    """List the packets without decoding; no rows where container or codec make them worthless."""
    if not _one_honest_packet_a_frame(container, stream):
        return [], None
    held: list[Packet[VideoStream]] | None = [] if path.stat().st_size <= MOST_BYTES_HELD else None
    rows = []
    with video_errors(path, "it is damaged or cut short"):
        for packet in container.demux(stream):
            if not packet.size:  # the last one is empty: it tells a decoder to flush
                continue
            rows.append(
                PacketRow(
                    packet.pts,
                    packet.dts,
                    packet.duration or 0,
                    packet.is_keyframe,
                    packet.is_discard,
                    packet.is_corrupt,
                )
            )
            if held is not None:
                held.append(packet)
    return rows, held


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
