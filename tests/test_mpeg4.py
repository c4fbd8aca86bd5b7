"""MPEG-4's own picture headers give the order and the count that its decoder gives."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_files import EMPTY_VOP, numbered_frames, read_numbers, write_packed_avi, write_video

from cliptide.datasets.video import open_video
from cliptide.datasets.video.mpeg4 import (
    Layer,
    Part,
    Vop,
    display_order,
    parts_in_decode_order,
    read_layer,
    read_vops,
)

COUNT = 40
LAYER = Layer(increment_bits=5, is_packed=True)


def in_order(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def is_planned(path: Path) -> bool:
    with open_video(path) as video:
        return video._planned is not None


@pytest.mark.parametrize("max_b_frames", [1, 2, 3])
@pytest.mark.parametrize("gop_size", [6, 12, 60])
def test_packed_b_frames_are_planned_and_exact(
    gop_size: int, max_b_frames: int, tmp_path: Path
) -> None:
    path = write_packed_avi(
        tmp_path / "packed.avi",
        numbered_frames(COUNT),
        gop_size=gop_size,
        max_b_frames=max_b_frames,
    )
    assert is_planned(path)
    reference = in_order(path)
    assert len(reference) >= COUNT - 1
    with open_video(path) as video:
        assert video.num_frames == len(reference)
        np.testing.assert_allclose(np.diff(video.pts_s), 1 / 25)
        np.testing.assert_array_equal(video.frames_at(range(len(reference))), reference)
        picked = [30, 7, 8, 21]
        np.testing.assert_array_equal(video.frames_at(picked), [reference[i] for i in picked])
        streamed = [frame.picture for frame in video.frames()]
        np.testing.assert_array_equal(streamed, reference)


def test_packed_b_frames_of_a_large_file_are_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again from the file, packets are as packed as before."""
    path = write_packed_avi(tmp_path / "packed.avi", numbered_frames(COUNT))
    monkeypatch.setattr("cliptide.datasets.video.listing.MOST_BYTES_HELD", 0)
    assert not is_planned(path)
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at(range(video.num_frames)), in_order(path))


@pytest.mark.parametrize("at_the_end", [False, True])
def test_an_empty_picture_is_sent_and_not_counted(at_the_end: bool, tmp_path: Path) -> None:
    """But at the very end, where the decoder shows the last picture again."""
    source = write_video(
        tmp_path / "p.avi", numbered_frames(COUNT), codec="mpeg4", max_b_frames=0, gop_size=10
    )
    path = tmp_path / "empty.avi"
    with av.open(str(source)) as read, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        pictures = [bytes(packet) for packet in read.demux(video=0) if packet.size]
        for place in (33, 20, 12, 4):
            pictures.insert(place, EMPTY_VOP)
        pictures += [EMPTY_VOP] * at_the_end
        for number, data in enumerate(pictures):
            packet = av.Packet(len(data))
            packet.update(data)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            out.mux(packet)
    reference = in_order(path)
    assert len(reference) == COUNT + at_the_end
    assert is_planned(path) is not at_the_end
    with open_video(path) as video:
        assert read_numbers(video.frames_at(range(COUNT))) == list(range(COUNT))
        np.testing.assert_array_equal(video.frames_at([25, 4]), [reference[25], reference[4]])


@pytest.mark.parametrize("name", ["plain.avi", "plain.mp4", "plain.mkv"])
def test_one_picture_a_packet_is_planned(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, numbered_frames(COUNT), codec="mpeg4")
    assert is_planned(path)
    with open_video(path) as video:
        assert read_numbers(video.frames_at(range(COUNT))) == list(range(COUNT))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_display_order_puts_b_frames_before_the_picture_they_follow(b_counts: list[int]) -> None:
    kinds: list[str] = []
    expected: list[int] = []
    shown = 0
    for number, num_b in enumerate(b_counts):
        num_b = num_b if number else 0  # nothing is shown before the first picture
        kinds += ["P" if number else "I"] + ["B"] * num_b
        expected += [shown + num_b, *range(shown, shown + num_b)]
        shown += num_b + 1
    assert display_order(kinds) == expected


def test_a_picture_that_came_early_takes_the_place_of_the_empty_one() -> None:
    def vop(kind: str, start: int = 0, is_coded: bool = True) -> Vop:
        return Vop(start, kind, is_coded)

    packets = [[vop("I")], [vop("P"), vop("B", 90)], [vop("B", 5)], [vop("P", is_coded=False)]]
    assert parts_in_decode_order(packets) == [
        Part(0, 0, 0, None, "I", True),
        Part(1, 1, 0, 90, "P", True),
        Part(2, 1, 90, None, "B", True),
        Part(3, 2, 5, None, "B", True),
    ]


@pytest.mark.parametrize(
    "packets",
    [
        [[]],
        [[Vop(0, "P", True)] * 3],
        [[Vop(0, "P", True), Vop(9, "P", True)]],
        [[Vop(0, "P", True), Vop(9, "B", True)], [Vop(0, "P", True)]],
    ],
)
def test_packets_that_do_not_add_up_are_not_planned(packets: list[list[Vop]]) -> None:
    assert parts_in_decode_order(packets) is None


def test_headers_of_an_encoder_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", numbered_frames(6), codec="mpeg4", max_b_frames=2)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        layer = read_layer(stream.codec_context.extradata or b"")
        assert layer == Layer(increment_bits=5, is_packed=False)  # 25 a second
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    assert [read_vops(data, layer)[0].kind for data in packets] == list("IPBBPB")
    assert read_vops(EMPTY_VOP, layer) == [Vop(0, "P", False)]


@given(st.binary(max_size=60))
def test_nonsense_is_read_without_an_error(data: bytes) -> None:
    assert read_layer(b"\0\0\1\x20" + data) is None or data
    vops = read_vops(b"\0\0\1\xb6" + data, LAYER)
    assert not vops or vops[0].start == 0
