"""A copy of a video with what the model sees written over it, its sound kept."""

import errno
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError, InvalidDataError

from cliptide.app.caption import Captioner
from cliptide.app.inference.timeline import Timeline
from cliptide.configs.errors import CliptideError, VideoError
from cliptide.datasets.video import open_video

CLOCK = 90_000  # ticks a second
BT601 = 6  # of FFmpeg's AVColorSpace, as SMPTE 170M
QUALITY = "20"  # x264's constant rate factor: hard to tell from the original
# Sound that stands in an MP4 as it is; any other is encoded again.
COPIED_SOUND = ("aac", "mp3", "ac3", "eac3", "opus", "alac", "flac")
AAC_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
)  # fmt: skip
LEAST_GAP_S = 0.1  # of sound: less is a container's rounding
# Fragments until it is whole, an ordinary file then: what a full disk cuts off can still be played.
MOVFLAGS = "hybrid_fragmented"
SECONDS_IN_FRAGMENT = 2.0


def write_annotated(
    source: str | Path,
    timeline: Timeline,
    out: Path,
    *,
    on_progress: Callable[[float], None] = lambda time_s: None,
) -> None:
    """Write an MP4 (H.264) with label, score and a strip of the timeline drawn in.

    Args:
        source: The video.
        timeline: What happens in it.
        out: The MP4; replaced if it exists.
        on_progress: Told the time of each frame that was written, seconds.

    Raises:
        VideoError: The video or its sound cannot be read to its end, or not be put into an MP4.
        CliptideError: The MP4 cannot be written to its end; what was written can be played.
    """
    written_s = 0.0
    try:
        for written_s in _write(source, timeline, out):
            on_progress(written_s)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
            raise
        _drop_torn_end(out)
        kept = f"{out} holds the first {written_s:.0f} s and can be played"
        raise CliptideError(
            f"The disk is full or fails ({error.strerror}): {kept}. Make room, or write elsewhere."
        ) from error
    except FFmpegError as error:
        raise VideoError(
            f"{source} cannot be written as {out} beyond {written_s:.0f} s ({error.strerror}). "
            "Re-encode it: ffmpeg -i IN -c:v libx264 -c:a aac OUT.mp4"
        ) from error


def _write(source: str | Path, timeline: Timeline, out: Path) -> Iterator[float]:
    with open_video(source, threads=0) as video:
        # H.264 with halved chroma has even sides.
        height, width = video.height - video.height % 2, video.width - video.width % 2
        size = (max(2, height), max(2, width))
        captioner = Captioner(
            size,
            timeline.class_names,
            segments=timeline.segments,
            duration_s=timeline.duration_s,
        )
        container = av.open(str(out), "w", format="mp4", options={"movflags": MOVFLAGS})
        try:
            stream: Any = container.add_stream("libx264", rate=max(1, round(video.fps)))
            stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
            stream.codec_context.time_base = Fraction(1, CLOCK)
            # How RGB becomes YUV below; players would guess another way for large pictures.
            stream.codec_context.colorspace = BT601
            # Without B-frames no picture waits for a later one, and the sound stays beside it.
            stream.options = {"crf": QUALITY, "preset": "veryfast", "bf": "0"}
            stream.gop_size = max(1, round(video.fps * SECONDS_IN_FRAGMENT))
            sound = _Sound(source, container) if video.has_audio else None
            last = -1
            for frame in video.frames(size=size):
                picture = np.ascontiguousarray(frame.picture)
                captioner.write(picture, _seen(timeline, frame.time_s), time_s=frame.time_s)
                shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
                # Frames that share an instant still need stamps of their own.
                last = max(last + 1, round(frame.time_s * CLOCK))
                shown.pts, shown.time_base = last, Fraction(1, CLOCK)
                if sound is not None:
                    sound.write_until(frame.time_s)
                container.mux(stream.encode(shown))
                yield frame.time_s
            container.mux(stream.encode(None))
            if sound is not None:
                sound.write_until(video.duration_s)
                sound.close()
        finally:
            container.close()


def _drop_torn_end(path: Path) -> None:
    """Cut an MP4 that was not written to its end behind its last whole fragment.

    Boxes: four bytes of size, four of name (ISO/IEC 14496-12, section 4.2); a fragment is a `moof`
    and the `mdat` behind it.
    """
    whole = at = 0
    with path.open("r+b") as file:
        num_bytes = file.seek(0, os.SEEK_END)
        while at + 8 <= num_bytes:
            file.seek(at)
            header = file.read(8)
            size = int.from_bytes(header[:4], "big")
            if size < 8 or at + size > num_bytes:
                break
            at += size
            if header[4:] != b"moof":
                whole = at
        file.truncate(whole)


def _seen(timeline: Timeline, time_s: float) -> list[tuple[str, float]]:
    """The labels that hold at a time, and their scores then."""
    held = [s.label for s in timeline.segments if s.start_s <= time_s < s.end_s]
    if not held or not len(timeline.times_s):
        return []
    at = int(np.abs(timeline.times_s - time_s).argmin())
    row = dict(zip(timeline.class_names, timeline.scores[at].tolist(), strict=True))
    return [(label, row[label]) for label in held]


class _Sound:
    """The sound track of a video, handed on bit by bit beside the pictures.

    Args:
        source: The video.
        out: Where it is written to.
    """

    def __init__(self, source: str | Path, out: Any) -> None:
        self._container = av.open(str(source))
        given: Any = self._container.streams.best("audio")
        self._num_samples: int | None = None  # encoded so far, from the first picture on
        self._began_s = self._first_picture_s()
        self._resampler: AudioResampler | None = None
        self._out = out
        self._stream: Any
        # The name of the codec, not of what decodes it, such as `mp3float`.
        if given.codec_context.codec.canonical_name in COPIED_SOUND:
            self._stream = out.add_stream_from_template(given)
        else:
            self._rate = given.rate if given.rate in AAC_RATES else 48_000
            layout = "mono" if given.codec_context.channels == 1 else "stereo"
            self._stream = out.add_stream("aac", rate=self._rate, layout=layout)
            self._resampler = AudioResampler(format="fltp", layout=layout, rate=self._rate)
        self._packets = self._container.demux(given)
        self._next: Any = None

    def _first_picture_s(self) -> float:
        picture = self._container.streams.video[0]
        start = picture.start_time
        return float(start * picture.time_base) if start is not None and picture.time_base else 0.0

    def write_until(self, time_s: float) -> None:
        """Hand on what is heard up to a time of the pictures, seconds."""
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            packet = self._next
            if packet is None:
                return
            if packet.pts is None:  # the last of all
                self._next = None
                continue
            heard_s = float(packet.pts * packet.time_base) - self._began_s
            if heard_s > time_s:
                return
            self._next = None
            if heard_s >= 0:
                self._write(packet)

    def _write(self, packet: Any) -> None:
        shift = round(self._began_s / packet.time_base)
        if self._resampler is None:
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = self._stream
            self._out.mux(packet)
            return
        try:
            decoded = packet.decode()
        except InvalidDataError:
            return  # damaged: a gap in the sound
        for frame in decoded:
            began_s = float(packet.pts * packet.time_base) - self._began_s
            frame.pts = None
            for ready in self._resampler.resample(frame):
                self._encode(ready, began_s)

    def _encode(self, frame: Any, began_s: float) -> None:
        """Encode samples behind the others, or after a gap if there is one.

        Time stamps of containers are coarser than samples, and encoders want them without a seam.
        """
        due = round(began_s * self._rate)
        if self._num_samples is None or due - self._num_samples > LEAST_GAP_S * self._rate:
            self._num_samples = due
        frame.pts, frame.time_base = self._num_samples, Fraction(1, self._rate)
        self._num_samples += frame.samples
        self._out.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is held back."""
        if self._resampler is not None and self._num_samples is not None:
            for ready in self._resampler.resample(None):
                self._encode(ready, 0.0)
            self._out.mux(self._stream.encode(None))
        self._container.close()
