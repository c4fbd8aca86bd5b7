"""How fast are N uniform frames of a video read and resized, by cliptide and by others?

    python benchmarks/decode.py [--frames 16] [--size 128x171] [--runs 5] [--out FILE]

One thread each, opening included, all readers in turn within each run, medians over the runs.
`ceiling` is cliptide's own plan executed without conversion. TorchCodec and decord take part where
they are installed. Every reader is asked for the same indices, and the frames that cliptide gives
are compared, to the pixel, with reading in order.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from cliptide.configs.schema import parse_size
from cliptide.datasets.video import open_video
from cliptide.datasets.video.plan import plan_runs

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
Reader = Callable[[Path, int, tuple[int, int]], Any]


def indices_of(num_frames: int, wanted: int) -> list[int]:
    return [int((i + 0.5) * num_frames / wanted) for i in range(min(wanted, num_frames))]


def cliptide(path: Path, wanted: int, size: tuple[int, int]) -> Any:
    with open_video(path) as video:
        return video.frames_at(indices_of(video.num_frames, wanted), size=size)


def ceiling(path: Path, wanted: int, size: tuple[int, int]) -> Any:
    with open_video(path) as video:
        if video._planned is None:
            return None
        positions = [video._positions[i] for i in indices_of(video.num_frames, wanted)]
        for run in plan_runs(video._rows, positions):
            left = len(run.wanted)
            shown = {video._rows[p].pts for p in run.wanted}
            for frame in video._planned.frames(run):
                left -= frame.pts in shown
                if not left:
                    break
    return True


def pyav_in_order(path: Path, wanted: int, size: tuple[int, int]) -> Any:
    with av.open(str(path)) as container:
        count = sum(bool(packet.size) for packet in container.demux(video=0))
    chosen = set(indices_of(count, wanted))
    frames = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in chosen:
                rgb = frame.to_ndarray(format="rgb24")
                frames.append(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA))
            if index >= max(chosen):
                break
    return np.stack(frames)


def opencv(path: Path, wanted: int, size: tuple[int, int]) -> Any:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    chosen = set(indices_of(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), wanted))
    frames = []
    for index in range(max(chosen) + 1):
        if not capture.grab():
            break
        if index in chosen:
            _, bgr = capture.retrieve()
            small = cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames) if frames else None  # OpenCV's wheel has no AV1 decoder


def readers() -> dict[str, Reader]:
    found: dict[str, Reader] = {
        "cliptide": cliptide,
        "ceiling": ceiling,
        "PyAV in order": pyav_in_order,
        "OpenCV": opencv,
    }
    try:
        import torch
        from torch.nn.functional import interpolate
        from torchcodec.decoders import VideoDecoder

        torch.set_num_threads(1)

        def torchcodec(path: Path, wanted: int, size: tuple[int, int]) -> Any:
            decoder = VideoDecoder(str(path), num_ffmpeg_threads=1)
            chosen = indices_of(decoder.metadata.num_frames, wanted)
            frames = decoder.get_frames_at(chosen).data
            return interpolate(frames.float(), size=size, mode="area").byte()

        found["TorchCodec"] = torchcodec
    except (ImportError, RuntimeError) as error:
        print(f"without TorchCodec: {str(error).splitlines()[0]}", file=sys.stderr)
    try:
        import decord

        def decord_reader(path: Path, wanted: int, size: tuple[int, int]) -> Any:
            reader = decord.VideoReader(
                str(path), width=size[1], height=size[0], num_threads=1, ctx=decord.cpu(0)
            )
            return reader.get_batch(indices_of(len(reader), wanted)).asnumpy()

        found["decord"] = decord_reader
    except (ImportError, RuntimeError) as error:
        print(f"without decord: {str(error).splitlines()[0]}", file=sys.stderr)
    return found


def moving_pictures(height: int, width: int, count: int) -> Iterator[np.ndarray]:
    """A soft texture that drifts, under a little noise: neither trivial nor impossible to code."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : height + 2 * count, 0 : width + 3 * count].astype(np.float32)
    waves = [np.sin(x / (23 + 7 * k)) + np.cos(y / (17 + 5 * k)) for k in range(3)]
    texture = (120 + 45 * np.stack(waves, axis=-1)).astype(np.uint8)
    noise = rng.integers(0, 12, (height + 64, width + 64, 1), dtype=np.uint8)
    for number in range(count):
        top, left = rng.integers(0, 64, 2)
        part = texture[2 * number :][:height][:, 3 * number :][:, :width]
        yield part + noise[top : top + height, left : left + width]


def write(path: Path, codec: str, size: tuple[int, int], options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=options)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if "g" in options:
            stream.codec_context.gop_size = int(options["g"])
        for picture in moving_pictures(*size, 200):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sets(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    for name, size in (("256p", (256, 454)), ("720p", (720, 1280)), ("1080p", (1080, 1920))):
        yield f"H.264 {name}", [write(folder / f"h264-{name}.mp4", "libx264", size, {})]
        short = {"g": "30"}
        yield (
            f"H.264 {name}, groups of 30",
            [write(folder / f"g30-{name}.mp4", "libx264", size, short)],
        )
    fight = sorted((SHARED / "fight").glob("*/*.mp4"))[::15]
    if fight:
        yield f"{len(fight)} CCTV clips (fight)", fight
    for group in ("12", "250"):
        options = {"g": group, "b": "1500k"}
        path = write(folder / f"mpeg4-{group}.avi", "mpeg4", (240, 320), options)
        yield f"MPEG-4 AVI, groups of {group}", [path]
    ucf = sorted((SHARED / "hard").glob("c3d__*.avi"))
    if ucf:
        yield "2 UCF101 clips", ucf
    for codec, name, ending, options in (
        ("libx265", "HEVC 256p", "mp4", {"x265-params": "log-level=none"}),
        ("libvpx-vp9", "VP9 256p", "webm", {"deadline": "realtime", "cpu-used": "6"}),
        ("libsvtav1", "AV1 256p", "mp4", {"preset": "10"}),
    ):
        yield name, [write(folder / f"{codec}.{ending}", codec, (256, 454), options)]


def check_exact(path: Path, wanted: int) -> None:
    """The frames chosen are those that reading in order gives, to the pixel."""
    with open_video(path) as video:
        if video.rotation:
            return
        chosen = indices_of(video.num_frames, wanted)
        frames = dict(zip(chosen, video.frames_at(chosen), strict=True))
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in frames:
                assert np.array_equal(frames[index], frame.to_ndarray(format="rgb24")), (
                    path,
                    index,
                )


def main() -> None:
    av.logging.set_level(av.logging.PANIC)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", default="128x171")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    size, every = parse_size(args.size), readers()
    lines = [
        f"# {args.frames} uniform frames to {args.size}, one thread, opening included",
        "",
        f"Milliseconds a video, medians of {args.runs} runs in turn; PyAV {av.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}. "
        "Repeat: `python benchmarks/decode.py`",
        "",
        "| set | " + " | ".join(every) + " | of ceiling | fastest other / cliptide |",
        "|---" * (len(every) + 3) + "|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in sets(Path(folder)):
            for path in paths:
                check_exact(path, args.frames)
            times: dict[str, list[float]] = {reader: [] for reader in every}
            for run in range(args.runs + 1):
                for reader, read in every.items():
                    began = time.perf_counter()
                    done = [read(path, args.frames, size) for path in paths]
                    took = (time.perf_counter() - began) / len(paths)
                    # The first run warms the disk's cache.
                    if run and all(one is not None for one in done):
                        times[reader].append(took * 1e3)
            medians = {r: statistics.median(t) for r, t in times.items() if t}
            own = medians["cliptide"]
            share = f"{medians['ceiling'] / own:.2f}" if "ceiling" in medians else "-"
            other = min(t for r, t in medians.items() if r not in ("cliptide", "ceiling"))
            cells = [f"{medians[r]:.1f}" if r in medians else "-" for r in every]
            lines.append(f"| {name} | {' | '.join(cells)} | {share} | {other / own:.2f} |")
            print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
