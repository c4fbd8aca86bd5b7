"""Making the packet table of a file that was just opened.

    whole     every packet listed by one pass through the file, without decoding
    by index  of a long file only the container's index, read when it was opened; the packets of
              a group are listed when a frame of it is wanted

Neither is made where container and codec are not known for an honest table: old MPEG-4 is taken
at its own word (see `mpeg4`), everything else doubtful has no table and is read in order.
"""

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.mpeg4 import (
    Layer,
    Part,
    Vop,
    display_order,
    parts_in_decode_order,
    read_layer,
    read_vops,
)
from cliptide.datasets.video.opening import is_encrypted, video_errors
from cliptide.datasets.video.plan import starts_whole
from cliptide.datasets.video.table import MOST_BYTES_HELD, IndexTable, PacketTable, row_of
from cliptide.datasets.video.timeline import PacketRow, table_is_clean

# From here on listing every packet is felt: 2,000 take 10 ms, an hour's half a second and a
# pass through the whole file.
LONG_FROM_PACKETS = 2_000

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
MATROSKA = "matroska,webm"
HONEST_CONTAINERS = (MP4, MATROSKA, "mpegts", "gif")
ONE_FRAME_A_PACKET = ("h264", "hevc", "av1", "vp9", "gif", "mjpeg", "png", "prores", "ffv1")
# AVI has decode stamps alone, which are enough where pictures are shown as they come.
HONEST_IN_AVI = ("mjpeg", "png", "ffv1")


def read_table(
    path: Path, container: InputContainer, stream: VideoStream, *, by_index: bool = True
) -> PacketTable | None:
    """Make the packet table of an open stream.

    Args:
        path: The file, to name in errors.
        container: It, open, at its start.
        stream: Its video stream.
        by_index: Whether the container's index will do for a long file.

    Returns:
        The table; None where it cannot be trusted, or does not start with a whole group.

    Raises:
        VideoError: The file is damaged or cut short.
    """
    codec = stream.codec_context.codec.canonical_name
    in_avi = container.format.name == "avi"
    if container.format.name not in HONEST_CONTAINERS and not in_avi:
        return None
    keeps_pts = True
    with video_errors(path, "it is damaged or cut short"):
        if codec == "mpeg4":
            rows, packets, keeps_pts = _mpeg4_packets(path, container, stream)
        elif codec == "vp8" and not in_avi:
            rows, packets = _vp8_packets(path, container, stream)
        elif codec in (HONEST_IN_AVI if in_avi else ONE_FRAME_A_PACKET):
            if by_index and (table := _index_table(path, container, stream)):
                return table
            rows, packets = _listed(path, container, stream)
        else:
            return None
    has_dts = container.format.name != MATROSKA
    if not (table_is_clean(rows, has_dts=has_dts) and starts_whole(rows)):
        return None
    return PacketTable(rows, packets, keeps_pts=keeps_pts)


def _listed(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    look: "Callable[[Packet[VideoStream]], None] | None" = None,
) -> "tuple[list[PacketRow], list[Packet[VideoStream]] | None]":
    """Demux everything; hold the packets of a file that is not too large."""
    # A file that is still being written may grow as fast as it is read.
    num_bytes = path.stat().st_size
    held: list[Packet[VideoStream]] | None = [] if num_bytes <= MOST_BYTES_HELD else None
    rows: list[PacketRow] = []
    for packet in container.demux(stream):
        if not packet.size:  # the last one is empty: it tells a decoder to flush
            continue
        if packet.pos is not None and packet.pos >= num_bytes:
            break
        if not rows and is_encrypted(packet):
            raise VideoError(f"{path}: is encrypted. Decrypt it with its publisher's key first.")
        rows.append(row_of(packet))
        if look is not None:
            look(packet)
        if held is not None:
            held.append(packet)
    if rows and rows[-1].is_corrupt and not any(row.is_corrupt for row in rows[:-1]):
        # Where a file is cut short, its last packet is a part of one.
        rows.pop()
        if held is not None:
            held.pop()
    return rows, held


def _vp8_packets(
    path: Path, container: InputContainer, stream: VideoStream
) -> "tuple[list[PacketRow], list[Packet[VideoStream]] | None]":
    """List VP8, some of whose packets are for reference only (RFC 6386, section 9.1)."""
    shown: list[bool] = []
    rows, packets = _listed(
        path, container, stream, lambda packet: shown.append(bool(bytes(packet)[0] & 0x10))
    )
    return [
        row._replace(is_discarded=row.is_discarded or not is_shown)
        for row, is_shown in zip(rows, shown, strict=False)  # a packet cut short has no row
    ], packets


def _mpeg4_packets(
    path: Path, container: InputContainer, stream: VideoStream
) -> "tuple[list[PacketRow], list[Packet[VideoStream]] | None, bool]":
    """List MPEG-4 by its own picture headers; no rows where they do not add up.

    The packets' stamps, sorted, are dealt to the pictures in display order. The third value tells
    whether each got its own.
    """
    layer: Layer | None = None
    vops: list[list[Vop]] = []

    def look(packet: "Packet[VideoStream]") -> None:
        nonlocal layer
        data = bytes(packet)
        if not vops:
            layer = read_layer((stream.codec_context.extradata or b"") + data)
        vops.append(read_vops(data, layer) if layer is not None else [])

    rows, held = _listed(path, container, stream, look)
    del vops[len(rows) :]  # a packet cut short has no row
    if not table_is_clean(rows, has_dts=container.format.name != MATROSKA):
        return [], None, True
    if all(len(found) == 1 and found[0].is_coded for found in vops):
        kinds = [found[0].kind for found in vops]
        table = [
            row if row.is_key == (kind == "I") else row._replace(is_key=kind == "I")
            for row, kind in zip(rows, kinds, strict=True)
        ]
        stamps = sorted(row.pts for row in rows)  # type: ignore[type-var]
        if [stamps[place] for place in display_order(kinds)] == [row.pts for row in rows]:
            return table, held, True
    parts = parts_in_decode_order(vops)
    # Read again, the packets of a large file come as they are in the file.
    if parts is None or held is None:
        return [], None, True
    return *_dealt(rows, held, parts), False


def _dealt(
    rows: Sequence[PacketRow], held: "Sequence[Packet[VideoStream]]", parts: Sequence[Part]
) -> "tuple[list[PacketRow], list[Packet[VideoStream]]]":
    """Make a packet and a row for each part, with the stamps in display order."""
    shown = [at for at, part in enumerate(parts) if part.is_shown]
    stamps = sorted(rows[parts[at].packet].pts for at in shown)  # type: ignore[type-var]
    places = display_order([parts[at].kind for at in shown])
    dealt = {at: stamps[place] for at, place in zip(shown, places, strict=True)}
    table, packets = [], []
    for at, part in enumerate(parts):
        row, packet = rows[part.packet], held[part.packet]
        row = row._replace(
            pts=dealt.get(at, row.pts),
            is_key=part.kind == "I" and part.is_shown,
            is_discarded=row.is_discarded or not part.is_shown,
        )
        if (part.source, part.start, part.stop) != (part.packet, 0, None):
            packet = _made(bytes(held[part.source])[part.start : part.stop])
            packet.time_base, packet.dts = held[part.source].time_base, row.dts
        packet.pts = row.pts
        table.append(row)
        packets.append(packet)
    return table, packets


def _made(data: bytes) -> "Packet[VideoStream]":
    # Allocated by FFmpeg: decoders read a few bytes past the end, which must be zeros.
    packet: Packet[Any] = Packet(len(data))
    packet.update(data)
    return packet


def _index_table(path: Path, container: InputContainer, stream: VideoStream) -> IndexTable | None:
    """Make the table of a long MP4 from its index; None where the index does not tell enough."""
    entries = stream.index_entries if container.format.name == MP4 else ()
    num_bytes = path.stat().st_size
    # A count other than the header's: an edit list repeats frames or leaves some out.
    if len(entries) != stream.frames or not entries:
        return None
    if len(entries) < LONG_FROM_PACKETS and num_bytes <= MOST_BYTES_HELD:
        return None
    dts, keys, sizes = [], [], []
    for position, entry in enumerate(entries):
        if entry.is_discard or entry.pos + entry.size > num_bytes:
            return None
        dts.append(entry.timestamp)
        sizes.append(entry.size)
        if entry.is_keyframe:
            keys.append(position)
    gaps = set(map(operator.sub, dts[1:], dts))
    if not keys or keys[0] != 0 or min(gaps, default=0) < 1:
        return None
    first = _group(container, stream, dts, 0, next(iter(keys[1:]), len(dts)))
    if first is None or not starts_whole(first):
        return None
    pts: Sequence[int]
    if len(gaps) == 1:
        (gap,) = gaps
        start = first[0].pts
        assert start is not None
        pts = range(start, start + gap * len(dts), gap)
    elif all(row.pts == row.dts for row in first):
        # The delay that shows frames out of order would stand between them from the start.
        pts = dts
    else:
        return None
    # Decode stamps lag behind: an uneven gap among the last frames does not show in them.
    last = _group(container, stream, dts, keys[-1], len(dts))
    if last is None or sorted(row.pts for row in last) != list(pts[keys[-1] :]):  # type: ignore[type-var]
        return None
    return IndexTable(dts=dts, keys=keys, sizes=sizes, pts=pts)


def _group(
    container: InputContainer, stream: VideoStream, dts: Sequence[int], start: int, stop: int
) -> list[PacketRow] | None:
    """List the packets of one group; None where they are not clean or not found."""
    rows: list[PacketRow] = []
    container.seek(dts[start], stream=stream, backward=True)
    for packet in container.demux(stream):
        if packet.size and packet.dts is not None and packet.dts >= dts[start]:
            rows.append(row_of(packet))
        if len(rows) == stop - start:
            break
    # From the start again, should a pass through all packets follow.
    container.seek(dts[0], stream=stream, backward=True)
    is_whole = [row.dts for row in rows] == list(dts[start:stop])
    return rows if is_whole and table_is_clean(rows) else None
