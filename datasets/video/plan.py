"""What to seek, send, skip and drop for the wanted frames. Pure: packet table in, plan out.

    packets   I P B b P B b | I P B b ...      in decode order; wanted: the 2nd P and the 9th frame
    send      I P . . P - - | I P               . = sent but not decoded (nothing refers to it)
                                                - = not sent

A frame is decoded from the last key frame that stands before it both in decode order and in
display order: of an open group, the frames shown before its key frame refer to the group
before, so they are decoded from that group's key frame. Everything behind the last wanted frame
of a stretch is dropped until the next key frame that is needed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cliptide.datasets.video.timeline import PacketRow


class Run(NamedTuple):
    """A stretch of packets sent to a fresh decoder, in decode order.

    Attributes:
        start: Position of its key frame's packet in the table.
        stop: One past its last packet.
        wanted: Positions whose frames are wanted; the decoder may leave out any other frame
            that nothing refers to.
    """

    start: int
    stop: int
    wanted: frozenset[int]


def starts_whole(rows: Sequence[PacketRow]) -> bool:
    """Whether decoding from the first packet gives every frame of a clean table.

    Not so for a recording that begins in mid-stream: with no key frame, or with frames that are
    shown before their key frame and refer to what is not there.
    """
    first = rows[0]
    return first.is_key and all(row.pts >= first.pts for row in rows)  # type: ignore[operator]


def key_positions(rows: Sequence[PacketRow]) -> list[int]:
    """Positions of the packets at which a decoder can begin."""
    return [position for position, row in enumerate(rows) if row.is_key]


def plan_runs(
    rows: Sequence[PacketRow] | Mapping[int, PacketRow],
    wanted: Iterable[int],
    *,
    keys: Sequence[int],
) -> list[Run]:
    """Plan how to decode some frames of a clean table.

    Args:
        rows: The packets in decode order; see `timeline.table_is_clean` and `starts_whole`. Of a
            mapping only the wanted ones and the key frames before them are looked at.
        wanted: Positions in `rows` of the packets whose frames are wanted.
        keys: Positions of all key frames, see `key_positions`.

    Returns:
        Runs in decode order that share no packet; each begins at a key frame.
    """
    runs: list[tuple[int, int, list[int]]] = []
    for position in sorted(set(wanted)):
        start, members = _entry(rows, keys, position), [position]
        # A frame that leads an open group begins before the run of its key frame.
        while runs and start < runs[-1][1]:
            before, _, earlier = runs.pop()
            start = min(before, start)
            earlier.extend(members)
            members = earlier
        runs.append((start, position + 1, members))
    return [Run(start, stop, frozenset(members)) for start, stop, members in runs]


def _entry(
    rows: Sequence[PacketRow] | Mapping[int, PacketRow], keys: Sequence[int], position: int
) -> int:
    """The last key frame before a frame in decode order that is not shown after it."""
    pts = rows[position].pts
    at = bisect_right(keys, position) - 1
    while at > 0 and rows[keys[at]].pts > pts:  # type: ignore[operator]
        at -= 1
    return keys[at]
