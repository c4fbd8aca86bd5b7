"""One open video: its true timeline, and exact frames by index.

Headers are not believed. How many frames there are and when each is shown comes from the table
of packets where container and codec are known for an honest one (`by pts`; see `table`), and
from decoding everything once where they are not (`by number`):

    by pts      frame i is the decoded frame whose stamp is the i-th of the sorted packet table
    by number   frame i is the i-th frame that leaves the decoder

Raw streams have no stamps at all, old AVIs of other codecs than MPEG-4 doubtful ones: by number.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from operator import index as as_int
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.ahead import read_ahead
from cliptide.datasets.video.listing import read_table
from cliptide.datasets.video.opening import (
    REENCODE,
    Device,
    StreamFacts,
    open_stream,
    video_errors,
)
from cliptide.datasets.video.picture import Crop, Picture, PictureMaker
from cliptide.datasets.video.reader import InOrderReader, PlannedReader, decode_stamps
from cliptide.datasets.video.table import PacketTable, TableIsWrong
from cliptide.datasets.video.timeline import (
    TOLERANCE_S,
    average_rate_fps,
    end_s,
    presentation_times_s,
)

# Pictures read ahead by `Video.frames`: enough to smooth over a slow group, few enough for 8K.
MOST_AHEAD = 16
MOST_BYTES_AHEAD = 64 * 2**20
# No codec shows a frame later than 16 others that were decoded behind it.
MOST_EARLY = 16


@dataclass(frozen=True)
class TimedFrame:
    """One frame of `Video.frames`.

    Attributes:
        index: Its number in the video.
        time_s: When it is shown, seconds from the first frame.
        picture: (height, width, 3) uint8 RGB.
    """

    index: int
    time_s: float
    picture: Picture


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

    def __init__(self, path: Path, *, threads: int, device: Device) -> None:
        self.path = path
        self._threads, self._device = threads, device
        self._planned: PlannedReader | None = None
        self._in_order: InOrderReader | None = None
        self._num_decoded = 0  # one past the last frame that left the in-order reader
        self._pictures: PictureMaker | None = None
        self._is_closed = False
        self._measure(by_index=True)

    def _measure(self, *, by_index: bool) -> None:
        """Open the file and set the timeline."""
        container, stream = open_stream(self.path, threads=self._threads, device=self._device)
        try:
            facts = StreamFacts.of(container, stream)
            table = read_table(self.path, container, stream, by_index=by_index)
        except BaseException:
            container.close()
            raise
        self._table: PacketTable | None = table
        self._planned = None
        stamps: Sequence[int | None]
        if table is not None:
            self._planned = PlannedReader(container, stream, table)
            stamps, last_duration = table.pts, table.last_duration
        else:
            container.close()
            decoded = decode_stamps(self.path, threads=self._threads)
            stamps = [stamp.pts for stamp in decoded]
            last_duration = decoded[-1].duration if decoded else 0
        if not stamps:
            raise VideoError(f"{self.path}: no frame of it can be decoded. {REENCODE}")
        self.pts_s = presentation_times_s(
            stamps, time_base=facts.time_base, rate_fps=facts.rate_fps
        )
        self.pts_s.flags.writeable = False
        self.num_frames = len(stamps)
        self.fps = average_rate_fps(self.pts_s, rate_fps=facts.rate_fps)
        self.duration_s = end_s(
            self.pts_s,
            last_duration=last_duration,
            time_base=facts.time_base,
            fps=self.fps,
        )
        self.has_audio = facts.has_audio

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
        self,
        indices: Sequence[int],
        *,
        size: tuple[int, int] | None = None,
        crop: tuple[int, int, int, int] | None = None,
    ) -> NDArray[np.uint8]:
        """Read frames by index, exactly, in the order asked.

        Decodes what the wanted frames need and converts only them, straight to the size; see
        the modules `plan` and `picture`.

        Args:
            indices: N frame numbers, 0..num_frames - 1, in any order, repeats allowed.
            size: (height, width) to resize to; None keeps the video's or the crop's. A frame of
                another size than the first read, in a stream that changes midway, is resized to
                that one's.
            crop: (top, left, height, width) of the part to take, in pixels of the upright
                video; nothing else is converted. Where it is resized and chroma is stored at
                half the resolution, an odd corner is rounded down to the even pixel before it.

        Returns:
            (N, height, width, 3) uint8 RGB, upright. At the video's own size to the pixel what
            reading in order gives; at another within 4 grey levels, on average over a picture, of
            averaging that over area.

        Raises:
            ValueError: An index, the size or the crop is out of range, or the video is closed.
            VideoError: A wanted frame cannot be decoded.
        """
        self._check_is_open()
        _check_size(size)
        part = self._checked_crop(crop)
        places: dict[int, list[int]] = {}
        for place, index in enumerate(map(as_int, indices)):
            if not 0 <= index < self.num_frames:
                raise ValueError(
                    f"{self.path}: frame {index} was asked for, but it has {self.num_frames}. "
                    f"Ask for 0 to {self.num_frames - 1}."
                )
            places.setdefault(index, []).append(place)
        if not places:
            return np.empty((0, *self._picture_size(size, part), 3), np.uint8)

        frames: NDArray[np.uint8] | None = None
        missing = set(places)
        num_places = sum(map(len, places.values()))
        with video_errors(self.path, _failing(min(missing))):
            for index, frame in self._decoded(missing):
                if self._pictures is None:
                    self._pictures = PictureMaker(frame)
                if frames is None:
                    height, width = self._picture_size(size, part)
                    frames = np.empty((num_places, height, width, 3), np.uint8)
                first, *others = places[index]
                self._pictures.write(frame, frames[first], crop=part)
                frames[others] = frames[first]
        if missing:
            raise self._left_out(min(missing))
        assert frames is not None
        return frames

    def frames(
        self,
        *,
        every_s: float | None = None,
        size: tuple[int, int] | None = None,
        crop: tuple[int, int, int, int] | None = None,
    ) -> Iterator[TimedFrame]:
        """Go through the video in order, in constant memory, reading ahead in a thread.

        The iterator has a decoder of its own: this video can be read from or closed meanwhile.

        Args:
            every_s: Take the frame on show every so many seconds, each at most once; None takes
                every frame. What lies between is not converted, and not decoded where nothing
                wanted depends on it.
            size: (height, width) to resize to; None keeps the video's or the crop's.
            crop: The part to take; see `frames_at`.

        Yields:
            The frames with their numbers and times, rising.

        Raises:
            ValueError: `every_s`, the size or the crop is out of range, or the video is closed.
            VideoError: A frame cannot be decoded; all before it have been given.
        """
        self._check_is_open()
        _check_size(size)
        chosen = np.arange(self.num_frames)
        if every_s is not None:
            if not 0 < every_s < float("inf"):
                raise ValueError(f"every_s is {every_s}. Give seconds above 0.")
            # A frame is on show from its time up to the next one's: is a multiple between them?
            until_s = np.append(self.pts_s[1:], self.duration_s)
            next_s = np.ceil((self.pts_s - TOLERANCE_S) / every_s) * every_s
            chosen = np.flatnonzero(next_s < until_s - TOLERANCE_S)
        part = self._checked_crop(crop)
        height, width = self._picture_size(size, part)
        depth = max(1, min(MOST_AHEAD, MOST_BYTES_AHEAD // (height * width * 3)))
        return read_ahead(self._streamed(chosen.tolist(), (height, width), part), depth=depth)

    def _streamed(
        self, chosen: list[int], size: tuple[int, int], crop: Crop | None
    ) -> Iterator[TimedFrame]:
        """Read rising indices through a reader of their own."""
        again = copy(self)
        again._in_order, again._num_decoded, again._planned = None, 0, None
        if self._table is not None:
            container, stream = open_stream(self.path, threads=self._threads, device=self._device)
            again._table = self._table.copy()
            again._planned = PlannedReader(container, stream, again._table)
        pictures: PictureMaker | None = None
        with again:
            frames = again._rising(chosen)
            for index in chosen:
                with video_errors(self.path, _failing(index)):
                    found, frame = next(frames, (-1, None))
                    if frame is None or found != index:
                        raise self._left_out(index)
                    pictures = pictures or PictureMaker(frame)
                    picture = np.empty((*size, 3), np.uint8)
                    pictures.write(frame, picture, crop=crop)
                yield TimedFrame(index, float(again.pts_s[index]), picture)

    def _rising(self, chosen: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Give (index, frame) of rising indices in order, holding few frames at a time."""
        num_given = 0
        for chunk in self._table.chunks(chosen) if self._table is not None else ():
            early: dict[int, VideoFrame] = {}
            for index, frame in self._planned_frames(set(chunk)):
                early[index] = frame
                while num_given < len(chosen) and chosen[num_given] in early:
                    yield chosen[num_given], early.pop(chosen[num_given])
                    num_given += 1
                if len(early) > MOST_EARLY:
                    break
            if early or (num_given < len(chosen) and chosen[num_given] <= chunk[-1]):
                break  # one was not given: see whether reading in order gives it
        yield from self._decoded_in_order(set(chosen[num_given:]))

    def close(self) -> None:
        """Close the file; reading afterwards is an error."""
        if self._planned is not None:
            self._planned.close()
        self._drop_in_order()
        self._is_closed = True

    def _check_is_open(self) -> None:
        if self._is_closed:
            raise ValueError(f"{self.path}: the video is closed. Open it again to read frames.")

    def _checked_crop(self, crop: tuple[int, int, int, int] | None) -> Crop | None:
        if crop is None:
            return None
        part = Crop(*map(as_int, crop)) if _are_integers(crop, 4) else Crop(-1, -1, 0, 0)
        top, left, height, width = part
        inside = top >= 0 and left >= 0 and height >= 1 and width >= 1
        if not inside or top + height > self.height or left + width > self.width:
            raise ValueError(
                f"crop is {crop!r}. Give (top, left, height, width) within "
                f"{self.height} x {self.width} pixels, height first."
            )
        return part

    def _picture_size(self, size: tuple[int, int] | None, crop: Crop | None) -> tuple[int, int]:
        own = (crop.height, crop.width) if crop else None
        return size or own or (self.height, self.width)

    def _left_out(self, index: int) -> VideoError:
        return VideoError(
            f"{self.path}: frame {index} of {self.num_frames} is listed but the decoder does not "
            f"give it. {REENCODE}"
        )

    def _decoded(self, missing: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Give the frames of the indices in `missing`, each once, taking them out of it."""
        for index, frame in self._planned_frames(missing):
            missing.remove(index)
            yield index, frame
        if missing:
            # The decoder left some out, or the video is read by number.
            for index, frame in self._decoded_in_order(missing):
                missing.remove(index)
                yield index, frame

    def _planned_frames(self, wanted: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        if self._planned is None:
            return
        try:
            yield from self._planned.frames(wanted)
        except TableIsWrong:
            # Raised before the first frame: the index of a long file promised other packets.
            self._planned.close()
            promised = self.num_frames
            self._measure(by_index=False)
            if self.num_frames != promised:
                raise VideoError(
                    f"{self.path}: has {self.num_frames} frames where its index lists {promised}. "
                    "Write it anew: ffmpeg -i IN -c copy OUT.mp4"
                ) from None
            yield from self._planned_frames(wanted)

    def _decoded_in_order(self, wanted: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from the first frame on, or from where the last call stopped."""
        wanted = set(wanted)
        if not wanted:
            return
        by_pts = self._table is not None and self._table.keeps_pts
        try:
            if self._in_order is None or min(wanted) < self._num_decoded:
                self._drop_in_order()
                self._in_order = InOrderReader(
                    self.path, threads=self._threads, device=self._device
                )
            while wanted and (frame := next(self._in_order, None)) is not None:
                index: int | None = self._num_decoded
                if by_pts:
                    assert self._table is not None
                    index = self._table.index_of(frame.pts)
                if index is not None:
                    self._num_decoded = index + 1
                if index in wanted:
                    wanted.remove(index)
                    yield index, frame
        except BaseException:
            # After an error nobody knows where the decoder stands.
            self._drop_in_order()
            raise
        if wanted:
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
        kind = type(self).__name__
        return f"{kind}({str(self.path)!r}, num_frames={self.num_frames}, {self.duration_s:.3f} s)"


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and not (_are_integers(size, 2) and min(size) >= 1):
        raise ValueError(f"size is {size!r}. Give (height, width) of 1 pixel or more.")


def _are_integers(values: object, count: int) -> bool:
    try:
        return len([as_int(value) for value in values]) == count  # type: ignore[attr-defined]
    except TypeError:
        return False


def _failing(index: int) -> str:
    return f"frame {index} or one that it needs cannot be decoded or converted"
