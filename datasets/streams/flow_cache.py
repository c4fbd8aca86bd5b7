"""Flow of whole videos, computed once and kept on disk: one file a video.

    magic     names the version of the format
    frames    PNG, x above y, one channel; frames of the same flow share one. Lossless, so a video
              whose flow is not kept gives the same numbers
    index     for each frame where its PNG begins and ends (uint64) and its CRC-32 (uint32)
    tail      number of frames, height, width, size and time of the video, CRC-32 of the index
              and of this; last, so that a file cut short has none

At 128x171 a frame of filmed videos took 4.8 kB and 0.2 ms to read; JPEG of quality 95 would take
2.4 kB and 0.07 ms, but be wrong by up to 0.3 px, and not the same on each build of OpenCV. WebP
takes 2.7 kB, but 6.5 ms to write: more than the flow.

The name of a file says which video, frame size, fit and method; a video that has changed since
is found by its size and time, and the file is replaced.
"""

import contextlib
import hashlib
import os
import re
import struct
import sys
import time
import uuid
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError
from cliptide.datasets.checking.workers import Failure, Limits, in_workers
from cliptide.datasets.fitting import Fit, Placement, place, set_in_frame
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.flow_fields import AHEAD, STILL, Codes, FlowMethod, flow_codes
from cliptide.datasets.video import Video, open_video

MAGIC = b"cliptide flow 2\n"
_TAIL = struct.Struct("<IIIQqII")
_ENTRY = np.dtype([("begin", "<u8"), ("end", "<u8"), ("crc", "<u4")])
# Faster to write than to compute; level 6 is 13 % smaller and takes twice as long.
PNG_LEVEL = 3
FRAMES_AT_ONCE = 32
# An hour of film takes minutes; a decoder that hangs never ends.
_LIMITS = Limits(time_s=3600.0, memory_mb=4096)
_OLD_PART_S = 24 * 3600.0
_PART = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{32}\.part")  # as `keep` names them


class FlowIsDamaged(Exception):
    """A file of kept flow does not hold what was written."""


@dataclass(frozen=True)
class FlowRule:
    """How flow is computed.

    Attributes:
        size: (height, width) of the frames, each 16 or more.
        fit: How the video's picture is fitted into them; see `fitting.place`.
        method: See `flow_fields.flow_codes`.
    """

    size: tuple[int, int]
    fit: Fit
    method: FlowMethod

    def placement(self, video: Video) -> Placement:
        """Where the video's picture stands in the frame."""
        return place(self.fit, video_size=(video.height, video.width), size=self.size)

    def codes(
        self,
        frames: NDArray[np.uint8],
        placement: Placement,
        starts: Sequence[int] | None = None,
    ) -> Codes:
        """See `flow_codes`, for fitted frames: bars stand still, though the method smears."""
        codes = flow_codes(frames, method=self.method, starts=starts)
        top, left = placement.top, placement.left
        bottom, right = top + placement.size[0], left + placement.size[1]
        for bar in (codes[:, :top], codes[:, bottom:], codes[:, :, :left], codes[:, :, right:]):
            bar[...] = STILL
        return codes


@dataclass(frozen=True)
class FlowItem:
    """What has become of one video in `precompute`.

    Attributes:
        path: The video.
        num_bytes: Of its kept flow; 0 where there is none.
        was_kept: Whether it was there before.
        error: Why the video cannot be read, or "".
        unwritable: Why its flow cannot be kept, or "".
    """

    path: Path
    num_bytes: int = 0
    was_kept: bool = False
    error: str = ""
    unwritable: str = ""


def default_folder() -> Path | None:
    """The user's own cache folder for flow; None where the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():  # others are to be ignored, by the specification
        return Path(base) / "cliptide" / "flow"
    try:
        return Path.home() / ".cache" / "cliptide" / "flow"
    except RuntimeError:
        return None


def file_of(folder: Path, path: Path, rule: FlowRule) -> Path:
    """Where a video's flow is kept."""
    height, width = rule.size
    key = f"{path.absolute()}|{height}x{width}|{rule.fit}|{rule.method}"
    return folder / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.flow"


class KeptFlow:
    """One file of kept flow, open; made by `open_kept`.

    Attributes:
        num_flows: Flow fields in it: the video's frames less one.
        num_bytes: Length of the file.
    """

    def __init__(self, file: BinaryIO, index: NDArray[np.void], size: tuple[int, int]) -> None:
        self._file, self._index, self._size = file, index, size
        self.num_flows = len(index)
        self.num_bytes = file.seek(0, os.SEEK_END)

    def codes(self, indices: Sequence[int]) -> Codes:
        """Read codes (n, height, width, 2) by number, 0..num_flows - 1.

        Raises:
            FlowIsDamaged: One of them is not what was written.
        """
        height, width = self._size
        codes = np.empty((len(indices), height, width, 2), np.uint8)
        for row, index in enumerate(indices):
            begin, end, crc = self._index[index].tolist()
            try:
                self._file.seek(begin)
                png = self._file.read(end - begin)
            except OSError as error:
                raise FlowIsDamaged(str(error)) from error
            if zlib.crc32(png) != crc:
                raise FlowIsDamaged(f"field {index} is damaged")
            both = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE))
            codes[row, ..., 0], codes[row, ..., 1] = both[:height], both[height:]
        return codes

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_kept(folder: Path, path: Path, rule: FlowRule) -> KeptFlow | None:
    """Open a video's kept flow; None where there is none, or none that is whole and up to date."""
    try:
        file = file_of(folder, path, rule).open("rb")
    except OSError:
        return None
    try:
        index = _index_of(file, _stamp_of(path), rule.size)
    except (OSError, SampleError, FlowIsDamaged):
        file.close()
        return None
    return KeptFlow(file, index, rule.size)


def bytes_in(folder: Path) -> int:
    """Bytes of all flow that is kept in a folder."""
    total = 0
    for file in folder.glob("*.flow"):
        with contextlib.suppress(OSError):  # another process may take it away
            total += file.stat().st_size
    return total


def keep(folder: Path, path: Path, rule: FlowRule, *, writer: str | None = None) -> int:
    """Compute the flow of a whole video and keep it; gives the bytes of the file.

    Whoever reads meanwhile sees the old file or the new one, never a part; of two who write the
    last one stays.

    Args:
        folder: Where flow is kept.
        path: The video.
        rule: How flow is computed.
        writer: Name of the one who writes, in that of the part; None takes a new one.

    Raises:
        SampleError: The video cannot be read.
        OSError: The folder cannot be written, or is full.
    """
    with open_video(path) as video:
        stamp = _stamp_of(path)
        folder.mkdir(parents=True, exist_ok=True)
        target = file_of(folder, path, rule)
        part = target.with_suffix(f".{writer or uuid.uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                write_flow(file, codes_in_order(video, rule), stamp, rule.size)
                num_bytes = file.tell()
            part.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    return num_bytes


def forget(folder: Path, path: Path, rule: FlowRule) -> None:
    """Remove a video's kept flow, if it can be, so that it is computed again."""
    with contextlib.suppress(OSError):
        file_of(folder, path, rule).unlink()


def codes_in_order(video: Video, rule: FlowRule) -> Iterator[Codes]:
    """Go through a video: codes (height, width, 2) of each frame but the last, in small memory.

    Raises:
        VideoError: A frame cannot be decoded.
    """
    placement = rule.placement(video)
    pictures: list[NDArray[np.uint8]] = []
    for frame in video.frames(size=placement.size, crop=placement.crop):
        pictures.append(set_in_frame(frame.picture[None], placement, size=rule.size)[0])
        if len(pictures) > FRAMES_AT_ONCE + AHEAD:
            yield from rule.codes(np.stack(pictures), placement, range(FRAMES_AT_ONCE))
            del pictures[:FRAMES_AT_ONCE]
    if len(pictures) > 1:
        yield from rule.codes(np.stack(pictures), placement)


def precompute(
    records: Sequence[SampleRecord],
    *,
    size: tuple[int, int],
    fit: Fit,
    method: FlowMethod,
    folder: Path,
    workers: int,
) -> Iterator[FlowItem]:
    """Compute and keep the flow of all videos of which it is not there yet.

    Where the folder cannot be written, that is said in one warning, and this ends there: reading
    computes what it needs.

    Args:
        records: Whose videos; several clips of one video are that video, once.
        size: (height, width) of the frames.
        fit: How pictures are fitted into them.
        method: See `flow_fields.flow_codes`.
        folder: Where flow is kept.
        workers: Processes, of one thread each; 0 computes in this one.

    Yields:
        An item for each video as it is done, first those that were there.
    """
    rule, writer = FlowRule(size, fit, method), uuid.uuid4().hex
    jobs = []
    _remove_old_parts(folder)
    for path in dict.fromkeys(record.source for record in records):
        kept = open_kept(folder, path, rule)
        if kept is None:
            jobs.append(_Job(folder, path, rule, writer))
            continue
        kept.close()
        yield FlowItem(path, kept.num_bytes, was_kept=True)
    for item in _worked_off(jobs, workers):
        yield item
        if item.unwritable:
            warnings.warn(
                f"Optical flow cannot be kept in {folder} ({item.unwritable}), so it is computed "
                "whenever it is read, which is slow. Free some space, or name another folder: "
                "--steps.flow_cache FOLDER",
                RuntimeWarning,
                stacklevel=2,
            )
            return


@dataclass(frozen=True)
class _Job:
    folder: Path
    path: Path
    rule: FlowRule
    writer: str


def _worked_off(jobs: Sequence[_Job], workers: int) -> Iterator[FlowItem]:
    if not workers or not jobs:
        yield from map(_work, jobs)
        return
    # A process that trains has its loaders' workers come from the same server, which imports but
    # once: what those need.
    preload = "cliptide.datasets.clips" if "torch" in sys.modules else __name__
    done = in_workers(_work_alone, jobs, workers=workers, limits=_LIMITS, preload=preload)
    try:
        for job, result in done:
            if isinstance(result, Failure):
                result = FlowItem(job.path, error=f"{job.path}: {result.cause}. Leave it out.")
            yield result
    finally:
        done.close()
        # Processes that were ended, as by Ctrl-C, leave what they were writing.
        for part in jobs[0].folder.glob(f"*.{jobs[0].writer}.part"):
            with contextlib.suppress(OSError):
                part.unlink()


def _work_alone(job: _Job) -> FlowItem:
    cv2.setNumThreads(1)  # there is one such process for each core
    return _work(job)


def _work(job: _Job) -> FlowItem:
    try:
        return FlowItem(job.path, keep(job.folder, job.path, job.rule, writer=job.writer))
    except SampleError as error:
        return FlowItem(job.path, error=str(error))
    except OSError as error:
        return FlowItem(job.path, unwritable=error.strerror or str(error))


def _stamp_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change, ns; of a folder the sum and the latest."""
    try:
        status = [entry.stat() for entry in ([path, *path.iterdir()] if path.is_dir() else [path])]
    except OSError as error:
        raise SampleError(
            f"{path}: cannot be looked at ({error.strerror}). Check that all of it is there."
        ) from error
    return sum(one.st_size for one in status), max(one.st_mtime_ns for one in status)


def write_flow(
    file: BinaryIO, codes: Iterator[Codes], stamp: tuple[int, int], size: tuple[int, int]
) -> None:
    """Write a file of kept flow.

    Args:
        file: Open, empty.
        codes: Of each frame, (height, width, 2).
        stamp: Size and time of the video.
        size: (height, width) of the frames.
    """
    file.write(MAGIC)
    entries: list[tuple[int, int, int]] = []
    before: Codes | None = None
    for one in codes:
        if before is not None and np.array_equal(one, before):
            entries.append(entries[-1])
            continue
        before, begin = one, file.tell()
        both = np.concatenate([one[..., 0], one[..., 1]])
        png = cv2.imencode(".png", both, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1].tobytes()
        file.write(png)
        entries.append((begin, file.tell(), zlib.crc32(png)))
    index = np.array(entries, _ENTRY).tobytes()
    facts = (len(entries), *size, *stamp)
    crc_of_index = zlib.crc32(index)
    crc = zlib.crc32(_TAIL.pack(*facts, crc_of_index, 0))
    file.write(index + _TAIL.pack(*facts, crc_of_index, crc))


def _index_of(file: BinaryIO, stamp: tuple[int, int], size: tuple[int, int]) -> NDArray[np.void]:
    """Read where each frame ends, and its CRC.

    Raises:
        FlowIsDamaged: The file is not whole, or of another state of the video.
    """
    length = file.seek(0, os.SEEK_END)
    if length < len(MAGIC) + _TAIL.size:
        raise FlowIsDamaged("too short")
    file.seek(length - _TAIL.size)
    *facts, crc_of_index, crc = _TAIL.unpack(file.read(_TAIL.size))
    if crc != zlib.crc32(_TAIL.pack(*facts, crc_of_index, 0)):
        raise FlowIsDamaged("cut short")
    if tuple(facts[1:]) != (*size, *stamp):
        raise FlowIsDamaged("another video")
    begin = length - _TAIL.size - facts[0] * _ENTRY.itemsize
    file.seek(max(0, begin))
    raw = file.read(facts[0] * _ENTRY.itemsize)
    index = np.frombuffer(raw, _ENTRY)
    end = int(index["end"][-1]) if len(index) else len(MAGIC)
    file.seek(0)
    if zlib.crc32(raw) != crc_of_index or end != begin or file.read(len(MAGIC)) != MAGIC:
        raise FlowIsDamaged("damaged")
    return index


def _remove_old_parts(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote."""
    with contextlib.suppress(OSError):
        for part in folder.glob("*.part"):
            # A folder that a person names may hold others, such as halves of downloads.
            is_ours = _PART.fullmatch(part.name) is not None
            if is_ours and time.time() - part.stat().st_mtime > _OLD_PART_S:
                part.unlink()
