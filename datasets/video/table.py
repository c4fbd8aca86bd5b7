"""The packet table of an open stream: what there is to send, and which frame comes of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

from cliptide.datasets.video.plan import Run, key_positions, plan_runs
from cliptide.datasets.video.timeline import PacketRow

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
        pts: The frames' stamps, in display order.
        last_duration: Of the last frame, 0 where it is not known.
        keeps_pts: Whether the stamps are the ones that the packets have in the file.
    """

    def __init__(
        self,
        rows: list[PacketRow],
        packets: "Sequence[Packet[VideoStream]] | None",
        *,
        keeps_pts: bool = True,
    ) -> None:
        self.rows: Sequence[PacketRow] | Mapping[int, PacketRow] = rows
        self.packets, self.keeps_pts = packets, keeps_pts
        # Packets that an edit list discards are decoded but never shown.
        shown = [position for position, row in enumerate(rows) if not row.is_discarded]
        stamps: list[int] = [row.pts for row in rows]  # type: ignore[misc]
        shown.sort(key=stamps.__getitem__)
        self._positions = shown
        self.pts: Sequence[int] = [stamps[position] for position in shown]
        self.last_duration = rows[shown[-1]].duration if shown else 0
        self._keys: Sequence[int] = key_positions(rows)

    def index_of(self, pts: int | None) -> int | None:
        """The number of the frame with a stamp."""
        if pts is None:
            return None
        index = bisect_left(self.pts, pts)
        return index if index < len(self.pts) and self.pts[index] == pts else None

    def runs(self, indices: Iterable[int], fetch: "Fetch") -> list[Run]:
        """Plan how to decode the frames of some indices; `fetch` reads packets where needed."""
        positions = [self._positions[index] for index in indices]
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

    def landmark(self, key: int) -> "Landmark":
        """How the container finds the key frame at a position."""
        row = self.rows[key]
        assert row.pts is not None
        return Landmark(row.pts, row.dts, row.pts)


class Landmark(NamedTuple):
    """How to find a key frame's packet in the file.

    Attributes:
        seek: Stamp to seek to; the container may land before it.
        dts: Decode stamp of the packet.
        pts: Display stamp of the packet, where it is known.
    """

    seek: int
    dts: int | None
    pts: int | None


# (start, stop) -> the packets at these positions, read from the file.
Fetch = Callable[[int, int], "Iterator[Packet[VideoStream]]"]


class IndexTable(PacketTable):
    """The packets of an MP4 by its index: decode stamps, sizes and key frames.

    Display stamps are in the index only where they follow from the decode stamps: where no
    frame is shown out of order, or all are one gap apart. Each group is checked against them
    when it is read.

    Args:
        dts: Decode stamp of each packet, rising.
        keys: Positions of the key frames.
        sizes: Bytes of each packet.
        pts: The frames' stamps, in display order; a range where one gap lies between all.
    """

    def __init__(
        self,
        *,
        dts: Sequence[int],
        keys: Sequence[int],
        sizes: Sequence[int],
        pts: Sequence[int],
    ) -> None:
        self.rows: dict[int, PacketRow] = {}  # of the groups listed
        self.pts, self.packets, self.keeps_pts = pts, None, True
        self.last_duration = pts.step if isinstance(pts, range) else 0
        self._dts, self._keys, self._sizes = dts, keys, sizes
        self._position_by_pts: dict[int, int] = {}
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
        positions = [self._position_by_pts[self.pts[index]] for index in wanted]
        return plan_runs(self.rows, positions, keys=self._keys)

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
        return IndexTable(dts=self._dts, keys=self._keys, sizes=self._sizes, pts=self.pts)

    def held(self, start: int, stop: int) -> "Sequence[Packet[VideoStream]] | None":
        """The packets from `start` up to `stop`, where they are in memory."""
        if all(position in self._held for position in range(start, stop)):
            return [self._held[position] for position in range(start, stop)]
        return None

    def landmark(self, key: int) -> Landmark:
        """How the container finds the key frame at a position."""
        return Landmark(self._dts[key], self._dts[key], None)

    def _list_groups_of(self, index: int, fetch: Fetch) -> None:
        """List the group that holds a frame, and the one it is decoded from."""
        pts = self.pts[index]
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
        stop = self._keys[group + 1] if group + 1 < len(self._keys) else len(self._dts)
        if start in self.rows:
            return
        num_bytes = sum(self._sizes[start:stop])
        if self._held_bytes + num_bytes > MOST_BYTES_HELD:
            self._held, self._held_bytes = {}, 0
        hold = num_bytes <= MOST_BYTES_HELD
        position = start
        for packet in fetch(start, stop):
            row = row_of(packet)
            if row.dts != self._dts[position] or row.is_corrupt or self.index_of(row.pts) is None:
                raise TableIsWrong
            assert row.pts is not None
            self.rows[position] = row
            self._position_by_pts[row.pts] = position
            if hold:
                self._held[position] = packet
            position += 1
        if position != stop:
            raise TableIsWrong
        self._held_bytes += num_bytes if hold else 0
