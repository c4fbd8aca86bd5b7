"""Reading the sound of any file: mono samples at one rate, on the clock of its pictures.

    time stamps   |frame|frame|      gap      |frame|frame|
    samples       ...........0000000000000000.............   silence keeps later sound in place

The clock is that of `datasets.video`: the first frame of the first video stream is at 0. In a
file without pictures the first sample is. What an encoder put before the sound (priming) is taken
away by FFmpeg, where the file tells how much that is.
"""

import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvStream
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError, TooLongError, VideoError
from cliptide.datasets.streams.resampling import MARGIN_S, Samples, resampled
from cliptide.datasets.streams.sound_file import REENCODE, opened_sound, sound_of, told_length_s
from cliptide.datasets.video.opening import cause_of, check_is_file, is_encrypted
from cliptide.datasets.video.reader import InOrderReader
from cliptide.datasets.video.timeline import MAX_FALL_S, TOLERANCE_S

# Stamps that are rounded, or of a clock that drifts a little, are no gaps.
MIN_GAP_S = 0.05
# Silence for leaps in the stamps of more than this together is no pause, and would fill the memory.
MAX_GAP_S = 3600.0
# Sound is decoded some hundred times as fast as it plays: before this, seeking gains nothing.
SEEK_FROM_S = 10.0
# Codecs need up to some frames before they are right (Opus: 80 ms, MP3: its reservoir of bits).
PREROLL_S = 1.0
# Louder than 1 happens in files of floats, this only by damage.
MOST_LOUD = 1e3
# PyAV 18 looks for the end of a list of planes behind the list where it holds this many or more,
# and the process dies of what it finds there.
_UNSAFE_PLANES = 8


class _Decoded(NamedTuple):
    """One frame: its stamp, seconds as the container has them, and its samples, mixed to mono."""

    pts_s: Fraction | None
    samples: Samples


@dataclass(frozen=True)
class _Clock:
    """Where the samples of the file, numbered from the first, are in time.

    Attributes:
        rate: Samples a second, as decoded.
        tick: Seconds in one unit of the stamps.
        frame_sizes: Samples of the first frame, which priming may have cut, and of the others.
        sound_s: Stamp of the first sample, seconds as the container has them.
        first_s: The same, seconds from the source's beginning.
    """

    rate: int
    tick: Fraction
    frame_sizes: tuple[int, int]
    sound_s: Fraction
    first_s: float

    def number_of(self, pts_s: Fraction) -> int:
        """Which sample a stamp means.

        Stamps of whole milliseconds (Matroska) tell it no nearer than some dozen samples, but
        frames of one size begin at multiples of it.
        """
        first, size = self.frame_sizes
        exact = (pts_s - self.sound_s) * self.rate
        if self.tick * self.rate > 1:
            whole = first + round((exact - first) / size) * size
            if abs(whole - exact) <= self.tick * self.rate:
                return whole
        return round(exact)


class _SeekFailed(Exception):
    """The file cannot be entered in its middle; never leaves this module."""


def read_sound(
    path: str | os.PathLike[str],
    *,
    sample_rate: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    most_s: float | None = None,
) -> tuple[Samples, float]:
    """Read the first sound track of a file, mixed to mono: the mean over its channels.

    Gaps in the time stamps are silence. A part of a long file is entered near its beginning; where
    stamps and frame sizes tell each sample's place, it has the same samples as the whole.

    Args:
        path: A sound file, or a video with sound.
        sample_rate: Samples a second to resample to.
        start_s: Where to begin, seconds from the source's beginning (see the module); at 0 or
            below with the first sample, wherever that is.
        end_s: Where to end, seconds; None or beyond the end means the sound's end.
        most_s: Refuse what is longer, seconds, by what the file says of its length, or else once
            a second more than this is read.

    Returns:
        Samples (n,) float32, about -1 to 1, n of 1 or more; and when the first of them is,
        seconds from the source's beginning, below 0 where sound begins before the picture.

    Raises:
        SampleError: The file is not there, is no sound file, has no sound track, is damaged, or
            has no sound from `start_s` to `end_s`.
        TooLongError: It is longer than `most_s`.
    """
    file = check_is_file(path, kind="sound file")
    try:
        return _read(file, sample_rate, start_s, end_s, most_s, may_seek=True)
    except _SeekFailed:
        return _read(file, sample_rate, start_s, end_s, most_s, may_seek=False)


def _read(
    path: Path,
    sample_rate: int,
    start_s: float,
    end_s: float | None,
    most_s: float | None,
    *,
    may_seek: bool,
) -> tuple[Samples, float]:
    container = opened_sound(path)
    with closing(container):
        stream = sound_of(path, container)
        if most_s is not None and (told_s := told_length_s(container, stream) or 0.0) > most_s:
            raise TooLongError(path, told_s, most_s)
        frames = _decoded(path, container, stream)
        clock, held = _clock_of(path, container, stream, frames)
        # Places in what comes out: sample k is at first_s + k / sample_rate.
        first, end = 0, None
        if start_s > 0:
            first = max(0, _places(start_s - clock.first_s, sample_rate))
        if end_s is not None:
            end = max(first, _places(end_s - clock.first_s, sample_rate))
        if most_s is not None:
            # Stamps and lengths may lie, so that it is counted too.
            cut = first + math.ceil((most_s + 1) * sample_rate)
            end = cut if end is None else min(cut, end)
        # Both rates meet every so many samples: from there on a part is resampled as the whole is.
        cell = clock.rate // math.gcd(clock.rate, sample_rate)
        entry = max(0, int((first / sample_rate - MARGIN_S) * clock.rate)) // cell * cell
        if may_seek and entry > SEEK_FROM_S * clock.rate:
            frames = _from_middle(path, container, stream, clock, entry)
        else:
            frames = chain(held, frames)
        placed = _placed(path, frames, clock, entry)
        skipped = entry * sample_rate // clock.rate
        wanted = None if end is None else end - skipped
        read = resampled(placed, rate=clock.rate, sample_rate=sample_rate, wanted=wanted)
        samples = read[first - skipped :]
    if most_s is not None and len(samples) / sample_rate > most_s:
        raise TooLongError(path, len(samples) / sample_rate, most_s)
    if not len(samples):
        last_s = clock.first_s + (skipped + len(read)) / sample_rate
        until = "its end" if end_s is None else f"{end_s:g} s"
        known = f"; it begins at {clock.first_s:.2f} s"
        known += f" and ends at {last_s:.2f} s" if len(read) else ""
        raise SampleError(
            f"{path}: has no sound from {start_s:g} s to {until}{known}. Correct start_s and end_s."
        )
    return samples, clock.first_s + first / sample_rate


def _places(seconds: float, rate: int) -> int:
    """The first sample at or behind a moment."""
    return math.ceil((seconds - TOLERANCE_S) * rate)


def _decoded(
    path: Path, container: InputContainer, stream: AvStream, zero_s: Fraction | None = None
) -> Iterator[_Decoded]:
    """Decode the track from where the container stands.

    Args:
        path: The file, to name in errors.
        container: It, open.
        stream: Its sound.
        zero_s: What to count from in errors, seconds as the container has them; None for the
            first stamp.

    Raises:
        SampleError: It is damaged.
    """
    rate = 0
    at_s: float | None = None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            if rate == 0 and is_encrypted(packet):
                raise SampleError(f"{path}: its sound is encrypted. Decrypt it first.")
            if packet.is_corrupt:
                if rate == 0:
                    continue  # a recording off the air begins in the middle of a packet
                raise _damage(path, at_s, "a packet is broken or cut short")
            frames = [each for each in stream.codec_context.decode(packet) if each.samples]
            # Mixing takes the stamps off some frames.
            stamps = [_seconds(frame.pts, frame.time_base) for frame in frames]
            mixed = [_mono(frame) for frame in frames]
        except MemoryError:  # FFmpeg's own is an FFmpegError, too
            raise
        except (av.FFmpegError, OSError) as error:
            raise _damage(path, at_s, cause_of(error)) from error
        for frame, pts_s, samples in zip(frames, stamps, mixed, strict=True):
            if rate not in (0, frame.sample_rate):
                raise SampleError(
                    f"{path}: its sound changes from {rate} to {frame.sample_rate} samples a "
                    f"second {_behind(at_s)}. Write it anew: ffmpeg -i IN OUT.wav"
                )
            rate = frame.sample_rate
            if frame.is_corrupt or not np.abs(samples).max() <= MOST_LOUD:
                raise _damage(path, at_s, "what is decoded is no sound")
            yield _Decoded(pts_s, samples)
            at_s = at_s or 0.0
            if pts_s is not None:
                zero_s = pts_s if zero_s is None else zero_s
                at_s = float(pts_s - zero_s)
            at_s += len(samples) / rate


def _damage(path: Path, at_s: float | None, cause: str) -> SampleError:
    return SampleError(f"{path}: its sound is damaged {_behind(at_s)} ({cause}). {REENCODE}")


def _behind(at_s: float | None) -> str:
    return "at its beginning" if at_s is None else f"behind {at_s:.2f} s"


def _seconds(pts: int | None, time_base: Fraction | None) -> Fraction | None:
    if pts is None or time_base is None:
        return None
    return Fraction(pts * time_base.numerator, time_base.denominator)


def _mono(frame: AudioFrame) -> Samples:
    """(n,): the mean over the channels, whatever they are called."""
    # By hand: FFmpeg refuses to mix channels whose layout it does not know.
    blocks = [frame]
    many_planes = frame.format.is_planar and frame.layout.nb_channels >= _UNSAFE_PLANES
    if many_planes or frame.format.name.startswith("s64"):  # which PyAV has no array for
        repack = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
        frame.pts = None
        blocks = repack.resample(frame)
    values = np.concatenate([block.to_ndarray() for block in blocks], axis=1)
    if not blocks[0].format.is_planar:
        values = values.reshape(frame.samples, -1).T
    mixed: NDArray[np.float64] = values.mean(axis=0, dtype=np.float64)
    if values.dtype.kind == "u":
        mixed -= 128
    if values.dtype.kind in "iu":
        mixed /= 2.0 ** (8 * values.dtype.itemsize - 1)
    return mixed.astype(np.float32)


def _clock_of(
    path: Path, container: InputContainer, stream: AvStream, frames: Iterator[_Decoded]
) -> tuple[_Clock, list[_Decoded]]:
    """Where the sound begins; and the frames that had to be decoded to know it."""
    held = list(islice(frames, 2))
    if not held:
        raise SampleError(f"{path}: its sound track holds no sound. {REENCODE}")
    sound_s = held[0].pts_s or Fraction(0)
    picture_s = _picture_s(path, container)
    return _Clock(
        rate=stream.codec_context.sample_rate,
        tick=_seconds(1, stream.time_base) or Fraction(1, 1000),
        frame_sizes=(len(held[0].samples), len(held[-1].samples)),
        sound_s=sound_s,
        first_s=0.0 if picture_s is None else float(sound_s - picture_s),
    ), held


def _picture_s(path: Path, container: InputContainer) -> Fraction | None:
    """Stamp of the first frame, seconds as the container has them; None without pictures."""
    videos = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    if not videos:
        return None
    stamp = videos[0].start_time
    if container.format.name == "avi":
        # Its stamps count packets: with B-frames the first frame bears a later packet's.
        return _seconds(stamp or 0, videos[0].time_base)
    try:
        with closing(InOrderReader(path, threads=1)) as reader:
            frame = next(reader, None)
        if frame is not None and frame.pts is not None:
            stamp = frame.pts
    except MemoryError:
        raise
    except (VideoError, av.FFmpegError):
        pass  # pictures that cannot be decoded leave the sound whole, and the header's stamp
    return _seconds(stamp or 0, videos[0].time_base)


def _from_middle(
    path: Path, container: InputContainer, stream: AvStream, clock: _Clock, entry: int
) -> Iterator[_Decoded]:
    """Decode from a little before a sample on.

    Raises:
        _SeekFailed: It cannot be found.
    """
    before_s = clock.sound_s + Fraction(entry, clock.rate) - Fraction(PREROLL_S)
    try:
        container.seek(math.floor(before_s / clock.tick), stream=stream)
        zero_s = clock.sound_s - Fraction(clock.first_s)
        frames = _decoded(path, container, stream, zero_s)
        first = next(frames)
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, SampleError, StopIteration) as error:
        raise _SeekFailed from error
    if first.pts_s is None or clock.number_of(first.pts_s) > entry:
        raise _SeekFailed
    return chain([first], frames)


def _placed(path: Path, frames: Iterator[_Decoded], clock: _Clock, entry: int) -> Iterator[Samples]:
    """Give the samples from number `entry` on, each in its place in time, gaps as silence."""
    number: int | None = None  # of the next sample
    leap = 0  # by which stamps were set back, in samples
    filled = 0  # samples of silence put in
    for pts_s, decoded in frames:
        samples, silent = decoded, 0
        if number is None:
            number = 0 if pts_s is None else clock.number_of(pts_s)
        elif pts_s is not None:
            gap = clock.number_of(pts_s) + leap - number
            if gap < -MAX_FALL_S * clock.rate:
                # Recordings joined end to end, each with stamps of its own.
                leap -= gap
            elif gap < -MIN_GAP_S * clock.rate:
                samples = samples[-gap:]
            elif gap > MIN_GAP_S * clock.rate:
                silent = gap
                filled += gap
                if filled > MAX_GAP_S * clock.rate:
                    at_s = clock.first_s + number / clock.rate
                    before = filled - gap
                    also = f" and before that by {before / clock.rate:.0f} s" if before else ""
                    raise SampleError(
                        f"{path}: the stamps of its sound leap by {gap / clock.rate:.0f} s behind "
                        f"{at_s:.2f} s{also}. Write it anew: ffmpeg -i IN -vn OUT.wav"
                    )
        for piece in chain(_silence(silent, clock.rate), [samples]):
            begin, number = number, number + len(piece)
            if number > entry:
                yield piece[max(0, entry - begin) :]


def _silence(count: int, at_once: int) -> Iterator[Samples]:
    """In pieces: whoever needs a part of it takes no more."""
    for begin in range(0, count, at_once):
        yield np.zeros(min(at_once, count - begin), np.float32)
