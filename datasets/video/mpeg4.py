"""What MPEG-4 Part 2 says of its pictures itself, for its containers are no help. Pure.

AVI gives each packet a decode stamp at best, and DivX and XviD put B-frames where AVI has no
place for them: two pictures in one packet, made up for by an empty one later.

    packets   I | P b | b | - | P b | b | -        - = "not coded": stands for a picture that
    decoded   I   P     b   b   P     b   b            came early and is decoded now

The order in which pictures are shown follows from their kinds: a B-frame at once, any other when
the next that is no B-frame comes. Names and bit fields: ISO/IEC 14496-2, sections 6.2.3 (video
object layer) and 6.2.5 (video object plane, VOP). That a second picture in a packet counts only
under DivX's mark, and which, follows FFmpeg's decoder.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

VOP_START = b"\0\0\1\xb6"
VOL_START = re.compile(rb"\x00\x00\x01[\x20-\x2f]")
# DivX and XviD write their version into the stream; the p stands for packed.
PACKED_MARK = re.compile(rb"DivX\d+(?:Build|b)\d+p")
KINDS = "IPBS"  # vop_coding_type; S, a sprite or global motion, is referred to as P is


class Vop(NamedTuple):
    """One picture in a packet.

    Attributes:
        start: Byte in the packet at which its start code begins.
        kind: "I", "P", "B" or "S".
        is_coded: False for one that holds no picture.
    """

    start: int
    kind: str
    is_coded: bool


class Part(NamedTuple):
    """What is sent to the decoder at once, in decode order.

    Attributes:
        packet: Packet whose stamps its picture gets.
        source: Packet its bytes come from.
        start: First byte of them.
        stop: One past the last; None for the end.
        kind: Of its picture, "I", "P", "B" or "S".
        is_shown: Whether a picture comes of it.
    """

    packet: int
    source: int
    start: int
    stop: int | None
    kind: str
    is_shown: bool


class Layer(NamedTuple):
    """What the headers of a stream tell.

    Attributes:
        increment_bits: Length of a picture's time within its second.
        is_packed: Whether packets may hold two pictures.
    """

    increment_bits: int
    is_packed: bool


class _Bits:
    """Reads a header bit by bit; past its end come zeros, which no marker is."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else 0
        return value & ((1 << count) - 1)


def read_layer(headers: bytes) -> Layer | None:
    """Read the video object layer out of the stream's headers; None where there is none."""
    found = VOL_START.search(headers)
    if found is None:
        return None
    bits = _Bits(headers[found.end() : found.end() + 40])
    bits.take(1 + 8)  # random_accessible_vol, video_object_type_indication
    version = 1
    if bits.take(1):  # is_object_layer_identifier
        version = bits.take(4)
        bits.take(3)
    if bits.take(4) == 15:  # aspect_ratio_info: extended
        bits.take(8 + 8)
    if bits.take(1):  # vol_control_parameters
        bits.take(2 + 1)
        if bits.take(1):  # vbv_parameters
            bits.take(79)
    shape = bits.take(2)
    if shape == 3 and version != 1:
        bits.take(4)
    if not bits.take(1):  # marker
        return None
    resolution = bits.take(16)
    if not bits.take(1) or shape != 0:  # marker; anything but rectangles is not for us
        return None
    return Layer(max(1, (resolution - 1).bit_length()), bool(PACKED_MARK.search(headers)))


def read_vops(data: bytes, layer: Layer) -> list[Vop]:
    """List the pictures of a packet that its decoder would look at; none where one is damaged."""
    vops: list[Vop] = []
    start = data.find(VOP_START)
    while start >= 0:
        # As one number, because this runs for every packet of a file: 128 bits.
        header = int.from_bytes(data[start + 4 : start + 20].ljust(16, b"\0"), "big")
        bit = 125
        while header >> bit & 1:  # modulo_time_base: a one for each second passed
            bit -= 1
            if bit < 64:
                return []
        marker, second_marker = bit - 1, bit - 2 - layer.increment_bits
        if not (header >> marker & 1 and header >> second_marker & 1):
            return []
        is_coded = bool(header >> second_marker - 1 & 1)
        vops.append(Vop(start, KINDS[header >> 126], is_coded))
        if not layer.is_packed:
            break
        start = data.find(VOP_START, start + 4)
    return vops


def parts_in_decode_order(packets: Sequence[Sequence[Vop]]) -> list[Part] | None:
    """Say what to send for each picture, given the pictures of every packet.

    Returns:
        Parts with one picture each; None where the packets do not add up.
    """
    parts: list[Part] = []
    early: tuple[int, Vop] | None = None  # the second picture of a packet before
    for packet, vops in enumerate(packets):
        if not 1 <= len(vops) <= 2:
            return None
        first, second = vops[0], (vops[1] if len(vops) == 2 else None)
        if early is not None:
            source, vop = early
            parts.append(Part(packet, source, vop.start, None, vop.kind, True))
            if second is not None or (first.is_coded and first.kind != "B"):
                return None
            early = (packet, first) if first.is_coded else None
            continue
        if second is not None and second.is_coded:
            if second.kind != "B" or not first.is_coded:
                return None
            early = (packet, second)
        elif second is not None:
            return None
        stop = second.start if second is not None else None
        parts.append(Part(packet, packet, 0, stop, first.kind, first.is_coded))
    # An early picture in the last packet has none to take its turn: no decoder gives it. An empty
    # one at the very end makes FFmpeg give the last picture twice: not for us.
    return parts if parts and parts[-1].is_shown else None


def display_order(kinds: Sequence[str]) -> list[int]:
    """Place in display order of each picture, given their kinds in decode order."""
    places = [0] * len(kinds)
    waiting: int | None = None
    shown = 0
    for picture, kind in enumerate(kinds):
        due = picture
        if kind != "B":
            due, waiting = (-1 if waiting is None else waiting), picture
        if due >= 0:
            places[due] = shown
            shown += 1
    if waiting is not None:
        places[waiting] = shown
    return places
