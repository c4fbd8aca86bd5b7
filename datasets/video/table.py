"""The packet table of an open stream: what there is to send, and which frame comes of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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

    def stamp(self, position: int) -> int:
        """What tells a packet from all others: its display stamp."""
        pts = self.rows[position].pts
        assert pts is not None
        return pts

    def stamp_of(self, packet: "Packet[VideoStream]") -> int | None:
        """The same, of a packet that was read again."""
        return packet.pts

    def entries(self, key: int) -> Iterator[int]:
        """Stamps to seek to for a key frame's packet, each further before it than the last."""
        at = bisect_right(self._keys, key) - 1
        step = 1
        yield self._entry(key)
        while at > 0:
            at = max(0, at - step)
            step *= 2
            yield self._entry(self._keys[at])

    def _entry(self, key: int) -> int:
        row = self.rows[key]
        assert row.pts is not None
        # Some containers seek by display stamps, some by decode stamps, which are never later.
        return row.pts if row.dts is None else min(row.dts, row.pts)


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
        """Divide rising indices into parts that each fill whole groups, forgetting those behind."""
        chunk: list[int] = []
        group = -1
        for index in indices:
            before, group = group, bisect_right(self._keys, index)
            if group != before and len(chunk) >= PLANNED_AT_ONCE:
                self.forget_before(chunk[0])
                yield chunk
                chunk = []
            chunk.append(index)
        if chunk:
            self.forget_before(chunk[0])
            yield chunk

    def copy(self) -> "IndexTable":
        """The table for another reader of the same file, without the packets held."""
        return IndexTable(dts=self._dts, keys=self._keys, sizes=self._sizes, pts=self.pts)

    def forget_before(self, index: int) -> None:
        """Drop what is known of the groups before those that a frame may be decoded from."""
        keep = self._keys[max(0, bisect_right(self._keys, index) - 2)]
        for position in [known for known in self.rows if known < keep]:
            row = self.rows.pop(position)
            assert row.pts is not None
            self._position_by_pts.pop(row.pts, None)
            if self._held.pop(position, None) is not None:
                self._held_bytes -= self._sizes[position]

    def held(self, start: int, stop: int) -> "Sequence[Packet[VideoStream]] | None":
        """The packets from `start` up to `stop`, where they are in memory."""
        if all(position in self._held for position in range(start, stop)):
            return [self._held[position] for position in range(start, stop)]
        return None

    def stamp(self, position: int) -> int:
        """What tells a packet from all others: its decode stamp."""
        return self._dts[position]

    def _entry(self, key: int) -> int:
        return self._dts[key]

    def stamp_of(self, packet: "Packet[VideoStream]") -> int | None:
        """The same, of a packet that was read again."""
        return packet.dts

    def _list_groups_of(self, index: int, fetch: Fetch) -> None:
        """List the group that holds a frame, and the one it is decoded from."""
        pts = self.pts[index]
        # Frames shown before the key frame they follow in the file are shown behind all of the
        # group before: the frames of a group have the numbers of its packets.
        for group in range(bisect_right(self._keys, index) - 1, -1, -1):
            self._list_group(group, fetch)
            key_pts = self.rows[self._keys[group]].pts
            assert key_pts is not None
            if key_pts <= pts:
                return

    def _list_group(self, group: int, fetch: Fetch) -> None:
        start = self._keys[group]
        stop = self._keys[group + 1] if group + 1 < len(self._keys) else len(self._dts)
        if start in self.rows:
            return
        num_bytes = sum(self._sizes[start:stop])
        if self._held_bytes + num_bytes > MOST_BYTES_HELD:
            self._held, self._held_bytes = {}, 0
        hold = num_bytes <= MOST_BYTES_HELD
        found: list[PacketRow] = []
        for position, packet in enumerate(fetch(start, stop), start=start):
            found.append(row_of(packet))
            if hold:
                self._held[position] = packet
        promised = list(self.pts[start:stop])
        kept = sorted((row.pts for row in found), key=lambda pts: (pts is None, pts)) == promised
        kept = kept and [row.dts for row in found] == list(self._dts[start:stop])
        if not kept or any(row.is_corrupt for row in found):
            raise TableIsWrong
        for position, row in enumerate(found, start=start):
            assert row.pts is not None
            self.rows[position] = row
            self._position_by_pts[row.pts] = position
        self._held_bytes += num_bytes if hold else 0
