"""Decoding: planned stretches of packets, or every frame in display order."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Self

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cliptide.datasets.video.opening import Device, open_stream, opened, video_errors
from cliptide.datasets.video.plan import Run
from cliptide.datasets.video.table import PacketTable
from cliptide.datasets.video.timeline import FrameStamp

# Codecs whose decoder can leave out frames that nothing refers to, from one packet to the next.
# AV1's takes that as a setting for good, VP8's and VP9's do not know it.
SKIP_UNREFERENCED = ("h264", "hevc", "mpeg4")


class PlannedReader:
    """Executes plans on an open stream.

    Args:
        container: The open file; closed with this reader.
        stream: Its video stream.
        table: Its packets.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, table: PacketTable) -> None:
        self._container, self._stream, self._table = container, stream, table
        self._demuxed: Iterator[Packet[VideoStream]] | None = None
        self._next = -1  # position of the packet that comes next out of `_demuxed`
        self._used = False
        self._skips = stream.codec_context.codec.canonical_name in SKIP_UNREFERENCED
        self._decodes_all = True
        stream.codec_context.skip_frame = "DEFAULT"

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Give (index, frame) of each wanted frame as it leaves the decoder.

        Of a run with a damaged frame, that and all behind it are left out.

        Raises:
            TableIsWrong: The table does not hold what it promised.
        """
        wanted = set(indices)
        for run in self._table.runs(wanted, self._fetch):
            left = len(run.wanted)
            for frame in self._decoded(run):
                if frame.is_corrupt:
                    # How damage is concealed depends on all that was decoded before.
                    break
                index = self._table.index_of(frame.pts)
                if index in wanted:
                    wanted.remove(index)
                    left -= 1
                    yield index, frame
                    if not left:
                        break

    def _decoded(self, run: Run) -> Iterator[VideoFrame]:
        """Decode a run and give every frame that leaves the decoder, wanted or not."""
        context = self._stream.codec_context
        if self._used:
            context.flush_buffers()
        self._used = True
        packets = self._table.held(run.start, run.stop)
        if packets is None:
            packets = self._fetch(run.start, run.stop)  # type: ignore[assignment]
        for position, packet in enumerate(packets, start=run.start):  # type: ignore[arg-type]
            if self._skips and (position in run.wanted) != self._decodes_all:
                self._decodes_all = not self._decodes_all
                context.skip_frame = "DEFAULT" if self._decodes_all else "NONREF"
            yield from context.decode(packet)
        yield from context.decode(None)

    def _fetch(self, start: int, stop: int) -> "Iterator[Packet[VideoStream]]":
        """Read the packets from a key frame's on; fewer where they are not found again."""
        table = self._table
        if (self._demuxed is None or self._next != start) and not self._seek(start):
            return
        assert self._demuxed is not None
        for packet in self._demuxed:
            if not packet.size:
                continue
            if table.stamp_of(packet) != table.stamp(self._next):
                break
            self._next += 1
            yield packet
            if self._next == stop:
                return
        self._demuxed = None

    def _seek(self, start: int) -> bool:
        """Bring the demuxer to where the packet of a key frame comes next."""
        table, sought = self._table, self._table.stamp(start)
        for stamp in table.entries(start):
            self._container.seek(stamp, stream=self._stream, backward=True)
            packets = self._container.demux(self._stream)
            for packet in packets:
                found = table.stamp_of(packet)
                if found == sought and packet.size:
                    self._demuxed, self._next = chain((packet,), packets), start
                    return True
                # Transport streams land behind the key frame, others before it.
                if packet.is_keyframe and found is not None and found > sought:
                    break
        return False

    def close(self) -> None:
        """Close the file."""
        self._demuxed = None
        self._container.close()


class InOrderReader:
    """An iterator over a file's frames from the first on, as its decoder gives them."""

    def __init__(self, path: Path, *, threads: int, device: Device = "cpu") -> None:
        self._container, stream = open_stream(path, threads=threads, device=device)
        self._frames = _decoded_in_order(path, self._container, stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> VideoFrame:
        return next(self._frames)

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _decoded_in_order(
    path: Path, container: InputContainer, stream: VideoStream
) -> Iterator[VideoFrame]:
    # A file that is still being written may grow as fast as it is read.
    num_bytes = path.stat().st_size
    for packet in container.demux(stream):
        if packet.pos is not None and packet.pos >= num_bytes:
            break
        yield from packet.decode()
    else:
        return  # the last packet was empty, which tells the decoder to give what it holds
    yield from stream.codec_context.decode(None)


def decode_stamps(path: Path, *, threads: int) -> list[FrameStamp]:
    """Decode the whole file once, in order, for the stamps of its frames."""
    stamps: list[FrameStamp] = []
    with opened(path, threads=threads) as (container, stream):
        frames = _decoded_in_order(path, container, stream)
        while True:
            with video_errors(path, f"it is damaged or cut short behind frame {len(stamps)}"):
                frame = next(frames, None)
            if frame is None:
                return stamps
            stamps.append(FrameStamp(frame.pts, frame.duration or 0))
