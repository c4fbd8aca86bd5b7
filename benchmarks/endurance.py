"""Does reading stay fast in an hour-long video, flat in memory, and alive in many processes?

    python benchmarks/endurance.py [--openings 10000] [--workers 8] [--hours 1]

Random access: one frame of an hour of H.264 against decoding one group of pictures of it.
Openings: resident memory after the first 500 openings and after the last, reading two frames of
H.264, MPEG-4 with B-frames, VP9 and a damaged file in turn. Workers: an hour of two-second clips
through the loader.
"""

import argparse
import random
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
from decode_sets import write_video

from cliptide.configs.errors import VideoError
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.loaders import make_loader
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.pictures import PictureStream
from cliptide.datasets.video import open_video

GROUP = 250


def repeated(path: Path, *, times: int) -> Path:
    """Write one clip's packets again and again, an hour without encoding an hour."""
    once = path.with_name("once.mp4")
    write_video(once, "libx264", (360, 640), {"g": str(GROUP)}, num_frames=GROUP)
    with av.open(str(once)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        length = round(Fraction(GROUP, 25) / stream.time_base)
        data = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in packets]
        for number in range(times):
            for raw, pts, dts, is_key in data:
                packet = av.Packet(len(raw))
                packet.update(raw)
                packet.stream, packet.time_base = out, stream.time_base
                packet.pts, packet.dts = pts + number * length, dts + number * length
                packet.is_keyframe = is_key
                target.mux(packet)
    return path


def timed_ms(action) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e3


def random_access(folder: Path, hours: float) -> None:
    path = repeated(folder / "long.mp4", times=round(hours * 3600 * 25 / GROUP))
    size = path.stat().st_size / 2**20
    draw = random.Random(0)
    opening = statistics.median(timed_ms(lambda: open_video(path).close()) for _ in range(5))
    with open_video(path) as video:
        print(f"{video.duration_s / 3600:.2f} h, {video.num_frames} frames, {size:.0f} MiB")
        wanted = [draw.randrange(video.num_frames) for _ in range(30)]
        one = statistics.median(timed_ms(lambda i=i: video.frames_at([i])) for i in wanted)

    def opened_and_read(index: int) -> None:
        with open_video(path) as video:
            video.frames_at([index])

    both = statistics.median(timed_ms(lambda i=i: opened_and_read(i)) for i in wanted[:10])

    def one_group() -> None:
        with av.open(str(folder / "once.mp4")) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for _ in container.decode(video=0):
                pass

    group = statistics.median(timed_ms(one_group) for _ in range(10))
    print(
        f"opening {opening:.1f} ms; one frame at random {one:.1f} ms, opening included "
        f"{both:.1f} ms; decoding one group of {GROUP} in order {group:.1f} ms"
    )


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


def openings(folder: Path, count: int) -> None:
    kinds = [
        write_video(folder / "a.mp4", "libx264", (120, 160), {}, num_frames=30),
        write_video(folder / "b.avi", "mpeg4", (120, 160), {"g": "12", "bf": "2"}, num_frames=30),
        write_video(
            folder / "c.webm", "libvpx-vp9", (120, 160), {"deadline": "realtime"}, num_frames=30
        ),
    ]
    damaged = folder / "d.mp4"
    damaged.write_bytes(kinds[0].read_bytes()[:2000])
    kinds.append(damaged)
    early = 0.0
    began = time.perf_counter()
    for number in range(count):
        try:
            with open_video(kinds[number % len(kinds)]) as video:
                video.frames_at([3, video.num_frames - 1], size=(64, 86))
        except VideoError:
            assert kinds[number % len(kinds)] == damaged
        if number + 1 == min(500, count):
            early = resident_mib()
    late = resident_mib()
    print(
        f"{count} openings in {time.perf_counter() - began:.0f} s: {early:.1f} MiB after 500, "
        f"{late:.1f} MiB at the end ({late - early:+.1f})"
    )


def workers(folder: Path, count: int, hours: float) -> None:
    clip = write_video(folder / "clip.mp4", "libx264", (120, 160), {}, num_frames=50)
    records = [
        SampleRecord(source=clip, name=f"{i}.mp4", label="x", group=str(i))
        for i in range(round(hours * 1800))
    ]
    dataset = ClipDataset(
        records,
        class_names=["x"],
        rule=SamplingRule("uniform", frames=16),
        streams=[PictureStream(size=(64, 86))],
    )
    loader = make_loader(dataset, batch_size=16, workers=count)
    began = time.perf_counter()
    num_clips = sum(len(batch.lengths) for batch in loader)
    took = time.perf_counter() - began
    print(f"{count} workers: {num_clips} clips of 2 s in {took:.0f} s, {num_clips / took:.0f}/s")


def main() -> None:
    av.logging.set_level(av.logging.PANIC)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--openings", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--hours", type=float, default=1.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        random_access(Path(folder), args.hours)
        openings(Path(folder), args.openings)
        workers(Path(folder), args.workers, args.hours)


if __name__ == "__main__":
    main()
