"""How fast are frames of a video read and resized, by cliptide and by others?

    python benchmarks/decode.py                # everything: about 15 minutes
    python benchmarks/decode.py --quick        # 16 frames to 128x171, 3 runs
    python benchmarks/decode.py --out benchmarks/results/decode.md --readme README.md

One core, one thread, opening included; readers in turn within each run, medians over the runs,
ratios within runs. The others come with the extra `bench`; TorchCodec wants the system's FFmpeg:

    pip install -e '.[bench]' && sudo apt install ffmpeg

`ceiling` is cliptide's plan executed without scaling or conversion. What every reader gives is
compared with reading in order: a reader that gives other frames than asked is marked.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
from decode_check import Reference
from decode_loader import clips_a_second
from decode_readers import TorchCodec, one_thread, peers, versions
from decode_report import OTHERS, Row, headline, missed, rewrite_readme, short
from decode_sets import video_sets
from decode_timing import measure, one_core, uniform_indices

from cliptide.configs.sizes import parse_size

HEADLINE = ("16", "128x171")
RUNS_ELSEWHERE = 3
LOADER_CLIPS = 60


def main() -> None:
    args = _arguments()
    av.logging.set_level(av.logging.PANIC)
    one_thread()
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    every = peers()
    settings = [
        (frames, size) for size in args.size.split(",") for frames in args.frames.split(",")
    ]
    first = HEADLINE if HEADLINE in settings else settings[0]
    settings = [first, *(one for one in settings if one != first and not args.quick)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for videos in video_sets(Path(folder), name_filter=args.sets):
            references = [Reference(path) for path in videos.paths]
            for frames, size in settings:
                is_first = (frames, size) == first
                if not (is_first or videos.everywhere):
                    continue
                with one_core():
                    timings = measure(
                        # The other settings ask for trends: a few of many clips will do.
                        references if is_first or len(references) < 8 else references[::4],
                        None if frames == "all" else int(frames),
                        parse_size(size),
                        every if is_first else {n: r for n, r in every.items() if n in OTHERS},
                        runs=args.runs if is_first else min(args.runs, RUNS_ELSEWHERE),
                        thorough=is_first,
                        say=lambda text, name=f"{videos.name}, {frames} to {size}": say(
                            f"{name}: {text}"
                        ),
                    )
                rows.append(Row(videos, frames, size, timings))
        if not rows:
            raise SystemExit(f"--sets {args.sets}: no set has such a name.")
        lines = _report(rows, first, args.runs)
        if not args.quick and not args.sets:
            lines += _loader_table(rows, say)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    if args.readme:
        rewrite_readme(args.readme, [row for row in rows if (row.frames, row.size) == first])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", default="8,16,32,all", help="frames of each video")
    parser.add_argument("--size", default="128x171,224x224", help="heights x widths")
    parser.add_argument("--runs", type=int, help="timed runs of the first table (5)")
    parser.add_argument("--quick", action="store_true", help="the first table only, 3 runs")
    parser.add_argument("--sets", default="", help="parts of sets' names, with commas between")
    parser.add_argument("--out", type=Path, help="write the tables to this file, too")
    parser.add_argument("--readme", type=Path, help="rewrite the table in this README")
    args = parser.parse_args()
    args.runs = args.runs or (3 if args.quick else 5)
    return args


def _report(rows: list[Row], first: tuple[str, str], runs: int) -> list[str]:
    main_rows = [row for row in rows if (row.frames, row.size) == first]
    frames = "Every frame" if first[0] == "all" else f"{first[0]} uniform frames"
    lines = [
        f"# {frames} to {first[1]}, one core, opening included",
        "",
        f"CPU milliseconds a video, medians of {runs} runs in which the readers take turns; ratios "
        "are medians of those within each run (least and most in brackets). `of ceiling`: the time "
        "of cliptide's plan without scaling or conversion, over cliptide's; `of decoding alone`: "
        "the same without opening. `fastest`: of TorchCodec in exact mode, decord and OpenCV, the "
        "fastest that gives the asked frames; one that is faster and gives others († below) stands "
        "behind it. kbit/s: bit rate of the video. `wanted`: what the project sets itself. "
        "Before resizing, cliptide's frames equal those "
        "of reading in order to the pixel.",
        "",
        f"{versions()}, Python {platform.python_version()}, {platform.machine()}. "
        "Repeat: `python benchmarks/decode.py`",
        "",
        *headline(main_rows),
    ]
    behind = missed(main_rows)
    lines += ["", "Missed:" if behind else "All that is wanted is reached.", *behind]
    return lines + short([row for row in rows if (row.frames, row.size) != first])


def _loader_table(rows: list[Row], say: Callable[[str], None]) -> list[str]:
    """Clips a second with two workers, over real clips where they are there."""
    with_clips = max(rows, key=lambda row: len(row.videos.paths))
    paths = (list(with_clips.videos.paths) * LOADER_CLIPS)[:LOADER_CLIPS]
    counts = {path: Reference(path).num_frames for path in set(paths)}
    asked = [(path, uniform_indices(counts[path], int(HEADLINE[0]))) for path in paths]
    readers = {name: reader for name, reader in peers().items() if name in OTHERS}
    if "TorchCodec" in readers:
        readers["TorchCodec"] = TorchCodec("exact", inside=with_clips.timings.resizes_inside)
    speeds = clips_a_second(asked, readers, parse_size(HEADLINE[1]), progress=say)
    own = speeds["cliptide"]
    return [
        "",
        "## Loading with two workers",
        "",
        f"{LOADER_CLIPS} clips ({with_clips.videos.name}), {HEADLINE[0]} frames to {HEADLINE[1]}, "
        "batches of 8, no augmentation; median of 3 epochs behind one that starts the workers.",
        "",
        "| loader | clips/s | cliptide is |",
        "|---|---:|---:|",
        *(
            f"| {name} | {speed:.1f} | {own / speed:.2f} times as fast |"
            for name, speed in speeds.items()
        ),
    ]


if __name__ == "__main__":
    main()
