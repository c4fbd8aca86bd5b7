"""Reading one file to its end, to say what is wrong with it and where.

FFmpeg conceals: a damaged stretch becomes a grey or smeared picture, a file cut short an early
end, and no error is raised. So everything it says is listened to (its log among it), and what
came is held against what the header promises. A file that gives any sign of damage is then
read the way training reads it, which decides whether it is merely hurt or cannot be used.
"""

import hashlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.complaints import Complaints
from cliptide.datasets.video.entry import open_video
from cliptide.datasets.video.file_signs import begins_as_mp4, what_it_is, where_it_ends
from cliptide.datasets.video.likeness import PicturesSeen
from cliptide.datasets.video.listing import MP4
from cliptide.datasets.video.opening import StreamFacts, check_is_file, is_encrypted, opened
from cliptide.datasets.video.picture import Orientation
from cliptide.datasets.video.timeline import (
    DEFAULT_RATE_FPS,
    average_rate_fps,
    end_s,
    presentation_times_s,
)
from cliptide.datasets.video.unevenness import is_uneven

Status = Literal["ok", "damaged", "cut short", "unreadable"]

_CHUNK_BYTES = 2**20
_READ_BACK = 64  # frames at a time
_READ_BACK_SIZE = (16, 16)
# A header without a frame count may round its duration, or mean that of the sound.
_DURATION_SLACK_S = 1.0
_DURATION_SLACK_SHARE = 0.1


@dataclass(frozen=True)
class Examination:
    """What reading a whole file showed.

    Attributes:
        status: `ok`; `damaged` (every frame can be had, some with broken pictures); `cut short`
            (it ends before its header says); `unreadable` (training cannot use it).
        problem: What is wrong, in words; empty for `ok`.
        at_s: Where it begins to be wrong, seconds of presentation time; None for nowhere or all.
        num_frames: Frames that were decoded.
        header_frames: Frames that the header promises; None where it gives no number.
        duration_s: From the first frame's display to the end of the last one's.
        last_frame_s: When the last frame is shown.
        fps: Average rate.
        variable_rate: Whether frames are shown for uneven times.
        width: Upright, pixels; 0 where no frame was decoded, and so for height.
        height: Upright, pixels.
        rotation: Degrees clockwise that the header asks for.
        has_audio: Whether there is a sound track.
        codec: FFmpeg's name of the video codec.
        num_bytes: Size of the file.
        content_hash: BLAKE2b of the file's bytes, 32 hexadecimal digits.
        frames_hash: Digest of all its pictures; empty where none was decoded.
        looks: 64 bits for each of a few frames; None for a blank one.
        num_values: Numbers in a row of arrays; 0 of all else.
        columns: What these are called; empty where the file does not say.
    """

    status: Status = "ok"
    problem: str = ""
    at_s: float | None = None
    num_frames: int = 0
    header_frames: int | None = None
    duration_s: float = 0.0
    last_frame_s: float = 0.0
    fps: float = 0.0
    variable_rate: bool = False
    width: int = 0
    height: int = 0
    rotation: int = 0
    has_audio: bool = False
    codec: str = ""
    num_bytes: int = 0
    content_hash: str = ""
    frames_hash: str = ""
    looks: tuple[int | None, ...] = ()
    num_values: int = 0
    columns: tuple[str, ...] = ()


def examine(path: Path) -> Examination:
    """Read a file to its end.

    Args:
        path: Anything: what is no video is reported, not raised.

    Returns:
        What was found.

    Raises:
        MemoryError: The file needs more memory than there is.
    """
    found = Examination(status="unreadable")
    try:
        file = check_is_file(path)
        num_bytes, content_hash = _digest(file)
    except VideoError as error:
        return replace(found, problem=_in_short(error, path))
    except PermissionError:
        return replace(found, problem="no permission to read it")
    except OSError as error:
        return replace(found, problem=f"it cannot be read to its end ({error.strerror or error})")
    found = replace(found, num_bytes=num_bytes, content_hash=content_hash)
    with Complaints() as complaints:
        try:
            reading = _read(file, complaints)
        except VideoError as error:
            _raise_for_memory(error)
            return replace(found, problem=_why_not_opened(file, error, complaints))
        found = reading.described(found)
        if reading.is_encrypted and reading.first_fault:
            return replace(
                found, status="unreadable", problem="it is encrypted", variable_rate=False
            )
        return _judged(file, found, reading)


def _digest(file: Path) -> tuple[int, str]:
    digest = hashlib.blake2b(digest_size=16)
    num_bytes = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            num_bytes += len(chunk)
            digest.update(chunk)
    return num_bytes, digest.hexdigest()


@dataclass
class _Reading:
    """What one pass over a file gave.

    Attributes:
        header_frames: Frames the header promises, 0 for no promise.
        header_s: Seconds the header promises for the pictures, 0 for no promise.
        num_packets: Packets of the stream.
        num_hidden: Those of them that an edit list hides.
        packet_pts: Their time stamps, where they have one.
        first_fault: The time stamp of the packet where damage first showed, and its position.
        num_faults: Packets where it showed.
    """

    time_base: Fraction = Fraction(1, 1000)
    rate_fps: float = DEFAULT_RATE_FPS
    header_frames: int = 0
    header_s: float = 0.0
    has_audio: bool = False
    codec: str = ""
    num_packets: int = 0
    num_hidden: int = 0
    packet_pts: list[int] = field(default_factory=list)
    frame_pts: list[int | None] = field(default_factory=list)
    last_duration: int = 0
    first_fault: tuple[int | None, int] | None = None
    num_faults: int = 0
    is_encrypted: bool = False
    ended_early: bool = False
    first_complaint: str = ""
    orientation: Orientation | None = None
    size: tuple[int, int] = (0, 0)
    frames_hash: str = ""
    looks: tuple[int | None, ...] = ()

    def fault(self, pts: int | None) -> None:
        """Note damage at the packet read last."""
        self.first_fault = self.first_fault or (pts, self.num_packets - 1)
        self.num_faults += 1

    def described(self, found: Examination) -> Examination:
        """Fill in what was measured."""
        found = replace(
            found,
            header_frames=self.header_frames or None,
            has_audio=self.has_audio,
            codec=self.codec,
            num_frames=len(self.frame_pts),
        )
        if not self.frame_pts or self.orientation is None:
            return found
        times_s = presentation_times_s(
            self.frame_pts, time_base=self.time_base, rate_fps=self.rate_fps
        )
        fps = average_rate_fps(times_s, rate_fps=self.rate_fps)
        width, height = self.size
        if self.orientation.transpose:
            width, height = height, width
        return replace(
            found,
            duration_s=end_s(
                times_s, last_duration=self.last_duration, time_base=self.time_base, fps=fps
            ),
            last_frame_s=float(times_s[-1]),
            fps=fps,
            variable_rate=is_uneven(times_s, tick_s=float(self.time_base)),
            width=width,
            height=height,
            rotation=self.orientation.rotation,
            frames_hash=self.frames_hash,
            looks=self.looks,
        )

    def where(self) -> tuple[int, float]:
        """Frame and time, seconds, of the first damage."""
        assert self.first_fault is not None
        pts, position = self.first_fault
        if pts is None or not self.packet_pts:
            return position, position / self.rate_fps
        earlier = sum(other < pts for other in self.packet_pts)
        return earlier, float((pts - min(self.packet_pts)) * self.time_base)


def _read(file: Path, complaints: Complaints) -> _Reading:
    """Decode every packet in order; an error costs that packet, not the rest.

    Raises:
        VideoError: It cannot be opened.
        MemoryError: It needs more memory than there is.
    """
    reading = _Reading()
    with opened(file, threads=1) as (container, stream):
        _read_header(reading, container, stream)
        pictures = PicturesSeen(reading.header_frames or _count_packets(file))
        complaints.any_new()  # opening may complain of what decoding then gets right
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                _raise_for_memory(error)
                reading.fault(None)
                break
            if packet is None:
                break
            _decode(reading, packet, pictures, stream, complaints)
        reading.frames_hash, reading.looks = pictures.result()
    complaints.any_new()
    reading.first_complaint = next(iter(complaints.said), "")
    reading.ended_early = complaints.tell_of_early_end
    return reading


def _read_header(reading: _Reading, container: InputContainer, stream: VideoStream) -> None:
    facts = StreamFacts.of(container, stream)
    reading.time_base, reading.rate_fps = facts.time_base, facts.rate_fps
    reading.has_audio = facts.has_audio
    reading.header_frames = stream.frames
    if container.format.name == MP4 and stream.frames:
        # What an edit list leaves out is not in the index, but in the header's count.
        reading.header_frames = min(stream.frames, len(stream.index_entries) or stream.frames)
    reading.codec = stream.codec_context.codec.canonical_name
    if stream.duration:
        reading.header_s = float(stream.duration * reading.time_base)
    elif container.duration and not reading.has_audio:
        reading.header_s = container.duration / av.time_base


def _count_packets(file: Path) -> int:
    """Count the packets without decoding, for where the header gives no number."""
    try:
        with opened(file, threads=1) as (container, stream):
            return sum(bool(packet.size) for packet in container.demux(stream))
    except (VideoError, av.FFmpegError):  # told of by the pass that decodes
        return 0


def _decode(
    reading: _Reading,
    packet: "Packet[VideoStream]",
    pictures: PicturesSeen,
    stream: VideoStream,
    complaints: Complaints,
) -> None:
    # The last packet is empty and tells the decoder to flush; others stand for a repeated frame.
    if packet.size or packet.dts is not None:
        reading.num_packets += 1
        reading.num_hidden += packet.is_discard
        if packet.pts is not None and not packet.is_discard:
            reading.packet_pts.append(packet.pts)
    faulty = packet.is_corrupt
    pts = packet.pts
    if reading.num_packets == 1:
        reading.is_encrypted = is_encrypted(packet)
    try:
        for frame in stream.codec_context.decode(packet):
            if frame.is_corrupt:
                faulty, pts = True, frame.pts
            reading.frame_pts.append(frame.pts)
            reading.last_duration = frame.duration or 0
            if reading.orientation is None:
                reading.orientation = Orientation.of(frame)
                reading.size = (frame.width, frame.height)
            pictures.add(frame)
    except av.FFmpegError as error:
        _raise_for_memory(error)
        faulty = True
    if complaints.any_new() or faulty:
        reading.fault(pts)


def _judged(file: Path, found: Examination, reading: _Reading) -> Examination:
    """Give a reading its status, problem and place."""
    frames = found.num_frames
    if not frames:
        said = f" ({reading.first_complaint})" if reading.first_complaint else ""
        problem = f"no frame of it can be decoded{said}"
        return replace(found, status="unreadable", problem=problem)
    missing = max(0, reading.header_frames - reading.num_packets)
    short_s = reading.header_s - found.duration_s
    slack_s = max(_DURATION_SLACK_S, _DURATION_SLACK_SHARE * reading.header_s)
    is_short = missing > 0 or reading.ended_early
    is_short = is_short or (not reading.header_frames and short_s > slack_s)
    hidden_loss = frames < reading.num_packets - reading.num_hidden
    if not (is_short or reading.first_fault or hidden_loss):
        refusal = _refusal_of_training(file, frames_too=False)
        return replace(found, status="unreadable" if refusal else "ok", problem=refusal)

    refusal = _refusal_of_training(file)
    # What breaks the very last packet of a file cut short is the cut.
    at_end = is_short and (reading.first_fault or (None, 0))[1] >= reading.num_packets - 1
    if is_short and (reading.first_fault is None or at_end):
        problem, at_s = _cut_short(found, reading, missing), found.duration_s
        status: Status = "cut short"
    elif reading.first_fault:
        frame, at_s = reading.where()
        problem = f"damaged at frame {frame} ({at_s:.2f} s)"
        if reading.num_faults > 1:
            problem += f", in {reading.num_faults} places"
        if missing:
            problem += f", and {_cut_short(found, reading, missing)}"
        status = "damaged"
        found = replace(found, variable_rate=False)  # frames that are lost leave gaps
    elif refusal:
        lost = reading.num_packets - reading.num_hidden - frames
        problem, at_s, status = f"{lost} of its frames cannot be decoded", None, "damaged"
    else:
        return replace(found, status="ok")
    if refusal:
        return replace(
            found, status="unreadable", problem=f"{problem}, so training fails on it", at_s=at_s
        )
    return replace(found, status=status, problem=problem, at_s=at_s)


def _cut_short(found: Examination, reading: _Reading, missing: int) -> str:
    at = f"it ends at {found.duration_s:.2f} s"
    if missing:
        return f"cut short: {found.num_frames} of {reading.header_frames} frames, {at}"
    if reading.header_s > found.duration_s:
        return f"cut short: {at} of {reading.header_s:.2f} s"
    return f"cut short: {at}"


def _refusal_of_training(file: Path, *, frames_too: bool = True) -> str:
    """What `open_video` says when every frame is asked of it; empty where it gives all."""
    try:
        with open_video(file) as video:
            for first in range(0, video.num_frames if frames_too else 0, _READ_BACK):
                indices = range(first, min(first + _READ_BACK, video.num_frames))
                video.frames_at(indices, size=_READ_BACK_SIZE)
    except VideoError as error:
        _raise_for_memory(error)
        return _in_short(error, file)
    return ""


def _why_not_opened(file: Path, error: VideoError, complaints: Complaints) -> str:
    """Say more of a file that cannot be opened than FFmpeg does."""
    if isinstance(error.__cause__, PermissionError):
        return "no permission to read it"
    if isinstance(error.__cause__, FileNotFoundError):
        return "it vanished while it was read"
    if end := where_it_ends(file):
        return end
    if kind := what_it_is(file):
        return kind
    complaints.any_new()
    if begins_as_mp4(file) and "moov atom not found" in complaints.said:
        return "its index (moov) is missing, so nothing of it can be read"
    return _in_short(error, file)


def _raise_for_memory(error: BaseException) -> None:
    for one in (error, error.__cause__):
        if isinstance(one, MemoryError):
            raise MemoryError from error


def _in_short(error: VideoError, path: Path) -> str:
    """The error without the file's name and the mend."""
    text = str(error).removeprefix(f"{path}: ").removeprefix(f"{str(path)!r}: ")
    return text.partition(". ")[0].rstrip(".")
