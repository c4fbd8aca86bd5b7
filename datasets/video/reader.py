"""Decoding: planned stretches of packets, or every frame in display order."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cliptide.datasets.video.opening import open_stream
from cliptide.datasets.video.plan import Run
from cliptide.datasets.video.timeline import PacketRow

# Packets of a file up to this size stay in memory; those of a larger one are read again.
MOST_BYTES_HELD = 64 * 2**20


class PlannedReader:
    """Executes plans on an open stream.

    Args:
        container: The open file; closed with this reader.
        stream: Its video stream.
        rows: The packet table.
        packets: The table's packets, where they are held in memory.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        rows: Sequence[PacketRow],
        packets: "Sequence[Packet[VideoStream]] | None",
    ) -> None:
        self._container, self._stream = container, stream
        self._rows, self._packets = rows, packets
        self._used = False
        self._decodes_all = True
        stream.codec_context.skip_frame = "DEFAULT"

    def frames(self, run: Run) -> Iterator[VideoFrame]:
        """Decode a run and give every frame that leaves the decoder, wanted or not."""
        context = self._stream.codec_context
        if self._used:
            context.flush_buffers()
        self._used = True
        for position, packet in enumerate(self._sent(run), start=run.start):
            if (position in run.wanted) != self._decodes_all:  # setting it costs more
                self._decodes_all = not self._decodes_all
                context.skip_frame = "DEFAULT" if self._decodes_all else "NONREF"
            yield from context.decode(packet)
        yield from context.decode(None)

    def _sent(self, run: Run) -> "Iterator[Packet[VideoStream]]":
        if self._packets is not None:
            yield from self._packets[run.start : run.stop]
            return
        key = self._rows[run.start]
        left = run.stop - run.start
        assert key.pts is not None
        self._container.seek(key.pts, stream=self._stream, backward=True)
        found = False
        for packet in self._container.demux(self._stream):
            # A seek may land on a key frame before the one asked for.
            found = found or (packet.pts, packet.dts) == (key.pts, key.dts)
            if found and packet.size:
                yield packet
                left -= 1
                if not left:
                    return

    def close(self) -> None:
        """Close the file."""
        self._packets = None
        self._container.close()


class InOrderReader:
    """An iterator over a file's frames from the first on, as its decoder gives them."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self._container, stream = open_stream(path, threads=threads)
        self._frames = self._container.decode(stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> VideoFrame:
        return next(self._frames)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
