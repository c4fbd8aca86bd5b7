"""Live recognition: what a frame costs, now and after a long time, and whether it is right.

    python benchmarks/watch.py speed
    python benchmarks/watch.py accuracy MODEL DATA PREDICTIONS [--minutes 60]

`speed`: a frame through `StreamScorer` against the encoder's own forward pass on that frame, in
turn, at the beginning and after 100,000 frames (between them the encoder is left out and all else
runs). Wanted: at most 1.15 with ResNet-18 at 112x112.

`accuracy`: a video of an hour made of the test clips of a run, one after another in an order that
is drawn, again and again; the label at the end of each clip against that of `predict` on the clip
alone. PREDICTIONS is the run's predictions.csv, DATA the folder that its paths are relative to.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from untrained import write_model

from cliptide.app import load
from cliptide.app.inference.network import load_network
from cliptide.app.inference.stream import StreamScorer
from cliptide.datasets.video import open_video

RESULTS = Path(__file__).parent / "results"
LATE = 100_000
MEASURED = 300


class SkippedEncoder:
    """An engine whose encoder is left out: the features of one frame for all."""

    def __init__(self, engine: Any, frame: np.ndarray) -> None:
        self.info, self.can_step, self.can_encode = engine.info, True, True
        self.step, self.features = engine.step, engine.encode(frame[None], None)[0]

    def encode(self, frames: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        return self.features, state


def ratio_of(scorer: StreamScorer, engine: Any, frames: np.ndarray) -> tuple[float, float, float]:
    """Median milliseconds of the encoder and of a frame of the stream, and the median ratio."""
    encoder, whole = [], []
    lengths = torch.tensor([1])
    for number in range(MEASURED):
        frame = frames[number % len(frames)]
        began = time.perf_counter()
        with torch.inference_mode():
            given = torch.from_numpy(frame[None]).permute(0, 3, 1, 2)
            engine.network.encoder(given, lengths)
        middle = time.perf_counter()
        scorer.push(frame)
        whole.append(time.perf_counter() - middle)
        encoder.append(middle - began)
    ratio = statistics.median(w / e for w, e in zip(whole, encoder, strict=True))
    return 1000 * statistics.median(encoder), 1000 * statistics.median(whole), ratio


def measure_speed() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (32, 112, 112, 3), dtype=np.uint8)
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, keys in (
            ("resnet18 gru", {"encoder": "resnet18", "temporal": "gru"}),
            ("resnet18 lstm", {"encoder": "resnet18", "temporal": "lstm", "hidden": 256}),
            ("resnet18 shift gru", {"encoder": "resnet18", "temporal": "gru", "shift": "causal"}),
        ):
            model = write_model(Path(scratch) / "model.safetensors", **keys)
            engine: Any = load_network(model, device="cpu").engine
            scorer = StreamScorer(engine)
            for frame in frames:
                scorer.push(frame)
            early = ratio_of(scorer, engine, frames)
            scorer._way.engine = SkippedEncoder(engine, frames[0])
            for number in range(LATE - MEASURED - len(frames)):
                scorer.push(frames[number % len(frames)])
            scorer._way.engine = engine
            late = ratio_of(scorer, engine, frames)
            figures[name] = {"early": early, "late": late}
            for when, (encoder, whole, ratio) in figures[name].items():
                times = f"encoder {encoder:.2f} ms, a frame {whole:.2f} ms"
                print(f"{name}, {when}: {times}, {ratio:.3f} times", flush=True)
    write(RESULTS / "watch_speed.json", figures)


def clips_of(data: Path, rows: list[dict[str, str]], minutes: float) -> Iterator[dict[str, str]]:
    """Clips in an order that is drawn anew each time they are through, until the time is over."""
    rng, total_s = np.random.default_rng(0), 0.0
    lengths: dict[str, float] = {}
    while True:
        for number in rng.permutation(len(rows)):
            row = rows[number]
            if row["video"] not in lengths:
                with open_video(data / row["video"]) as video:
                    lengths[row["video"]] = video.duration_s
            total_s += lengths[row["video"]]
            yield row
            if total_s >= 60 * minutes:
                return


def join(
    data: Path, rows: list[dict[str, str]], path: Path, *, minutes: float, crf: str
) -> list[tuple[float, dict[str, str]]]:
    """Write the clips one after another; when the last frame of each is shown, and its row."""
    with open_video(data / rows[0]["video"]) as video:
        size, fps = (video.height // 2 * 2, video.width // 2 * 2), round(video.fps)
    ends, shown = [], 0
    pictures: dict[str, np.ndarray] = {}
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(
            "libx264", rate=fps, options={"crf": crf, "preset": "veryfast"}
        )
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for row in clips_of(data, rows, minutes):
            name = row["video"]
            if name not in pictures:
                with open_video(data / name) as video:
                    pictures[name] = video.frames_at(range(video.num_frames), size=size)
            for picture in pictures[name]:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = shown, Fraction(1, fps)
                out.mux(stream.encode(frame))
                shown += 1
            ends.append(((shown - 1) / fps, row))
        out.mux(stream.encode(None))
    return ends


def measure_accuracy(model: Path, data: Path, predictions: Path, minutes: float) -> None:
    with predictions.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["predicted"]]
    recognizer = load(model, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        video = Path(scratch) / "joined.mp4"
        ends = join(data, rows, video, minutes=minutes, crf="15")
        answers: list[tuple[float, str]] = [
            (update.time_s, update.label) for update in recognizer.watch(video)
        ]
    times_s = np.array([time_s for time_s, _ in answers])
    period_s = 1 / recognizer.info.rate_fps
    right = alone = late = 0
    for end_s, row in ends:
        at = int(np.searchsorted(times_s, end_s + 1e-6, side="right")) - 1
        late += end_s - times_s[at] > period_s
        right += answers[at][1] == row["true"]
        alone += row["predicted"] == row["true"]
    live, whole = right / len(ends), alone / len(ends)
    print(
        f"{len(ends)} clips in {ends[-1][0] / 60:.0f} minutes: {live:.1%} right live at their end, "
        f"{whole:.1%} alone by predict, {100 * (live - whole):+.1f} points; {late} ends without a "
        "frame of their own"
    )
    name = f"watch_{data.name}.json"
    figures = {"clips": len(ends), "live": live, "alone": whole, "minutes": ends[-1][0] / 60}
    write(RESULTS / name, figures)


def write(path: Path, figures: Any) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "accuracy"))
    parser.add_argument("paths", nargs="*", type=Path, help="MODEL DATA PREDICTIONS")
    parser.add_argument("--minutes", type=float, default=60.0)
    args = parser.parse_args()
    if args.what == "speed":
        measure_speed()
    elif len(args.paths) == 3:
        measure_accuracy(*args.paths, minutes=args.minutes)
    else:
        parser.error("accuracy needs MODEL DATA PREDICTIONS")


if __name__ == "__main__":
    main()
