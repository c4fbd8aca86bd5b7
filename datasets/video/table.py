"""The packet table of an open stream: what there is to send, and which frame comes of it."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from av.packet import Packet
from av.video.stream import VideoStream

from cliptide.datasets.video.plan import Run, key_positions, plan_runs
from cliptide.datasets.video.timeline import FrameStamp, PacketRow, shown_stamps

# Packets of a file up to this size stay in memory; those of a larger one are read again.
MOST_BYTES_HELD = 64 * 2**20
# Frames of a long file planned at a time when it is read through.
PLANNED_AT_ONCE = 64


class TableIsWrong(Exception):
    """The container's index does not hold what it promised; never leaves this package."""


def row_of(packet: "Packet[VideoStream]") -> PacketRow:
    """What the table keeps of a packet."""
    return PacketRow(
        packet.pts,
        packet.dts,
        packet.duration or 0,
        packet.is_keyframe,
        packet.is_discard,
        packet.is_corrupt,
    )


class PacketTable:
    """Every packet of a stream, in decode order.

    Attributes:
        rows: The packets.
        packets: The packets themselves, where they are held in memory.
        stamps: The frames' stamps, in display order.
        index_by_pts: The frame shown at each stamp.
        keeps_pts: Whether the stamps are the ones that the packets have in the file.
    """

    def __init__(
        self,
        rows: list[PacketRow],
        packets: "Sequence[Packet[VideoStream]] | None",
        *,
        keeps_pts: bool = True,
    ) -> None:
        self.rows, self.packets, self.keeps_pts = rows, packets, keeps_pts
        self.stamps = shown_stamps(rows)
        self.index_by_pts = {stamp.pts: index for index, stamp in enumerate(self.stamps)}
        self._position_by_pts = {row.pts: position for position, row in enumerate(rows)}
        self._keys = key_positions(rows)

    def runs(self, indices: Iterable[int], fetch: "Fetch") -> list[Run]:
        """Plan how to decode the frames of some indices; `fetch` reads packets where needed."""
        positions = [self._position_by_pts[self.stamps[index].pts] for index in indices]
        return plan_runs(self.rows, positions, keys=self._keys)

    def chunks(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        """Divide rising indices into parts to plan one after the other."""
        yield indices

    def copy(self) -> "PacketTable":
        """The table for another reader of the same file."""
        return self

    def held(self, start: int, stop: int) -> "Sequence[Packet[VideoStream]] | None":
        """The packets from `start` up to `stop`, where they are in memory."""
        return None if self.packets is None else self.packets[start:stop]

    def seek_pts(self, key: int) -> int:
        """The stamp by which the container finds the key frame at a position."""
        pts = self.rows[key].pts
        assert pts is not None
        return pts


# (start, stop) -> the packets at these positions, read from the file.
Fetch = Callable[[int, int], "Iterator[Packet[VideoStream]]"]


class IndexTable(PacketTable):
    """The packets of an MP4 by its index: decode stamps, sizes and key frames.

    Display stamps are in the index only where they follow from the decode stamps: where no
    frame is shown out of order, or all are one gap apart. Each group is checked against them
    when it is read.

    Args:
        rows: A row a packet, without display stamps.
        sizes: Bytes of each packet.
        stamps: The frames' stamps, in display order.
    """

    def __init__(
        self, rows: list[PacketRow], sizes: Sequence[int], stamps: list[FrameStamp]
    ) -> None:
        self.rows, self.packets, self.keeps_pts = rows, None, True
        self.stamps = stamps
        self.index_by_pts = {stamp.pts: index for index, stamp in enumerate(stamps)}
        self._position_by_pts: dict[int | None, int] = {}
        self._keys = key_positions(rows)
        self._sizes = sizes
        self._held: dict[int, Packet[VideoStream]] = {}
        self._held_bytes = 0

    def runs(self, indices: Iterable[int], fetch: Fetch) -> list[Run]:
        """Plan how to decode the frames of some indices, listing their groups first.

        Raises:
            TableIsWrong: A group is not what the index promised.
        """
        wanted = sorted(set(indices))
        for index in wanted:
            self._list_groups_of(index, fetch)
        return super().runs(wanted, fetch)

    def chunks(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        """Divide rising indices into parts that each fill whole groups."""
        chunk: list[int] = []
        group = -1
        for index in indices:
            before, group = group, bisect_right(self._keys, index)
            if group != before and len(chunk) >= PLANNED_AT_ONCE:
                yield chunk
                chunk = []
            chunk.append(index)
        if chunk:
            yield chunk

    def copy(self) -> "IndexTable":
        """The table for another reader of the same file, without the packets held."""
        rows = [row._replace(pts=None) for row in self.rows]
        return IndexTable(rows, self._sizes, self.stamps)

    def held(self, start: int, stop: int) -> "Sequence[Packet[VideoStream]] | None":
        """The packets from `start` up to `stop`, where they are in memory."""
        if all(position in self._held for position in range(start, stop)):
            return [self._held[position] for position in range(start, stop)]
        return None

    def seek_pts(self, key: int) -> int:
        """The stamp by which the container finds the key frame at a position."""
        dts = self.rows[key].dts
        assert dts is not None
        return dts

    def _list_groups_of(self, index: int, fetch: Fetch) -> None:
        """List the group that holds a frame, and the one it is decoded from."""
        pts = self.stamps[index].pts
        assert pts is not None
        group = bisect_right(self._keys, index) - 1
        # A frame shown before the key frame it follows stands in the next group.
        for candidate in (group, group + 1, group - 1):
            if pts not in self._position_by_pts and 0 <= candidate < len(self._keys):
                self._list_group(candidate, fetch)
        if pts not in self._position_by_pts:
            raise TableIsWrong
        group = bisect_right(self._keys, self._position_by_pts[pts]) - 1
        while group > 0:
            self._list_group(group, fetch)
            key_pts = self.rows[self._keys[group]].pts
            assert key_pts is not None
            if key_pts <= pts:
                return
            group -= 1
        self._list_group(0, fetch)

    def _list_group(self, group: int, fetch: Fetch) -> None:
        start = self._keys[group]
        stop = self._keys[group + 1] if group + 1 < len(self._keys) else len(self.rows)
        if self.rows[start].pts is not None:
            return
        num_bytes = sum(self._sizes[start:stop])
        if self._held_bytes + num_bytes > MOST_BYTES_HELD:
            self._held, self._held_bytes = {}, 0
        hold = num_bytes <= MOST_BYTES_HELD
        position = start
        for packet in fetch(start, stop):
            row = row_of(packet)
            promised = row.dts == self.rows[position].dts and row.pts in self.index_by_pts
            if not promised or row.is_corrupt:
                raise TableIsWrong
            self.rows[position] = row
            self._position_by_pts[row.pts] = position
            if hold:
                self._held[position] = packet
            position += 1
        if position != stop:
            raise TableIsWrong
        self._held_bytes += num_bytes if hold else 0
