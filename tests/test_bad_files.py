"""Whatever a file holds, it is read or named, soon, and the next is read as if nothing happened."""

import importlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_files import numbered_frames, read_numbers, write_mjpeg, write_video

from cliptide.configs.errors import VideoError
from cliptide.datasets.video import open_video

COUNT = 60


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("b.mkv", "libx264"),
        ("c.avi", "mpeg4"),
        ("d.webm", "libvpx-vp9"),
        ("e.ts", "mpeg2video"),
        ("f.mp4", "libx265"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_in_the_middle_cost_no_more_than_the_file(
    name: str, codec: str, seed: int, tmp_path: Path
) -> None:
    whole = write_video(tmp_path / f"whole_{name}", numbered_frames(COUNT), codec=codec)
    with av.open(str(whole)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(seed)
    start = places[COUNT // 2] + int(rng.integers(20))
    data[start : start + len(data) // 20] = rng.bytes(len(data) // 20)
    path = tmp_path / name
    path.write_bytes(data)
    try:
        with open_video(path) as video:
            assert read_numbers(video.frames_at([2, 0])) == [2, 0]  # long before the damage
            assert len(video.frames_at(range(video.num_frames))) == video.num_frames
    except VideoError as error:
        assert str(path) in str(error) and "Replace it" in str(error)
    with open_video(whole) as video:
        assert read_numbers(video.frames_at([50, 1])) == [50, 1]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.avi", "mpeg4")]
)
@pytest.mark.parametrize("seed", range(3))
def test_damage_that_is_concealed_looks_as_it_does_when_read_in_order(
    name: str, codec: str, seed: int, tmp_path: Path
) -> None:
    """In one thread, that is: with several, FFmpeg itself conceals in another way."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-30, 30, (COUNT, 96, 128, 3))
    frames = np.clip(numbered_frames(COUNT, 96, 128) + noise, 0, 255).astype(np.uint8)
    path = write_video(tmp_path / name, frames, codec=codec)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for number in rng.choice(len(packets), 3, replace=False):
        start, size = packets[number]
        for place in rng.integers(start + size // 2, start + size, 6):
            data[place] = rng.integers(256)
    path.write_bytes(data)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        reference = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at(range(video.num_frames)), reference)
        for index in range(0, COUNT, 4):
            np.testing.assert_array_equal(video.frames_at([index])[0], reference[index])


def test_an_encrypted_file_is_called_so(tmp_path: Path) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16}
    path = write_video(
        tmp_path / "a.mp4",
        numbered_frames(COUNT),
        container_options=key | {"encryption_kid": "a7" * 16},
    )
    with pytest.raises(VideoError, match=r"a\.mp4: is encrypted\. Decrypt it"):
        open_video(path)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (14_000, r"a\.webm: its header says 14000 x 14000 pixels.*Replace it"),
        (20_000, r"a\.webm: frame 0 .*Replace it"),  # beyond what FFmpeg itself looks at
    ],
)
def test_a_monstrous_size_in_the_header_is_refused(pixels: int, said: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.webm", numbered_frames(3), codec="libvpx-vp9")
    data = path.read_bytes()
    # VP9's sync code, 4 bits of colour, then width and height less one in 16 bits each.
    at = data.index(b"\x49\x83\x42") + 3
    bits = int.from_bytes(data[at : at + 5], "big")
    assert bits >> 4 & 0xFFFFFFFF == 63 << 16 | 47
    bits = bits & ~(0xFFFFFFFF << 4) | ((pixels - 1) << 16 | (pixels - 1)) << 4
    path.write_bytes(data[:at] + bits.to_bytes(5, "big") + data[at + 5 :])
    with pytest.raises(VideoError, match=said), open_video(path) as video:
        video.frames_at([0])


def test_a_monstrous_size_in_the_pictures_is_refused_without_its_memory(tmp_path: Path) -> None:
    path = write_mjpeg(tmp_path / "a.mkv", numbered_frames(3), pts=[0, 40, 80])
    data = bytearray(path.read_bytes())
    at = 0
    while (at := data.find(b"\xff\xc0", at)) >= 0:
        data[at + 5 : at + 9] = (20_000).to_bytes(2, "big") * 2
        at += 4
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.mkv: .*Replace it"), open_video(path) as video:
        video.frames_at([0])


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mpg", numbered_frames(COUNT), codec="mpeg2video")
    with open_video(path) as video:  # read by number: opened again for its frames
        path.unlink()
        with pytest.raises(VideoError, match=r"a\.mpg: vanished while it was read"):
            video.frames_at([3])


@pytest.mark.parametrize(
    ("name", "codec", "step"),
    [("a.ts", "libx264", "listing.row_of"), ("b.ts", "mpeg2video", "reader.FrameStamp")],
)
def test_a_stream_that_never_ends_is_read_as_far_as_it_was_when_opened(
    name: str, codec: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / name, numbered_frames(COUNT), codec=codec)
    data = path.read_bytes()
    module, _, function = f"cliptide.datasets.video.{step}".rpartition(".")
    take = getattr(importlib.import_module(module), function)

    def take_while_it_grows(*values: Any) -> Any:
        with path.open("ab") as file:
            file.write(data)
        assert file.closed and path.stat().st_size < 200 * len(data), "it is read for ever"
        return take(*values)

    monkeypatch.setattr(f"{module}.{function}", take_while_it_grows)
    with open_video(path) as video:
        assert COUNT - 1 <= video.num_frames <= COUNT + 1
        assert read_numbers(video.frames_at([3, 40])) == [3, 40]


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {other}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
    ],
    ids=["concat", "hls"],
)
def test_a_list_of_other_files_is_no_video(text: str, tmp_path: Path) -> None:
    """It would read whatever files and addresses it names, and wait for pipes among them."""
    write_video(tmp_path / "other.ts", numbered_frames(4))
    path = tmp_path / "list.mp4"
    path.write_text(text.format(other="other.ts"))
    with pytest.raises(VideoError, match=r"list\.mp4: is not a video"):
        open_video(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_is_refused() -> None:
    with pytest.raises(VideoError, match="/dev/zero: is a pipe or device"):
        open_video("/dev/zero")
