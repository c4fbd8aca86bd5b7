"""Many short clips: `cliptide predict` against a plain loop, and its memory over time.

    python benchmarks/predict.py [--videos 1000] [--rounds 3]

The plain loop is what people write first: OpenCV reads a video, frames are resized, the same
network scores them, one video at a time. Both are timed as whole processes, start included, in
turn. Memory (on Linux) is that of the command and all below it; it is flat when the second half
of the run needs no more than the first.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from untrained import MIB, run_watched, write_model

from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset

RESULTS = Path(__file__).parent / "results" / "predict.json"
DIFFERENT = 160  # clips that are made; the others are copies of them
SIDE, FRAMES = 240, 48


def plain_loop(model: Path, folder: Path, out: Path) -> None:
    """OpenCV, resize, the same network, one video at a time."""
    import cv2
    import torch

    from cliptide.models.bundle import load_model

    network, info = load_model(model)
    answers = []
    for path in sorted(folder.rglob("*.mp4")):
        capture = cv2.VideoCapture(str(path))
        frames = []
        while True:
            read, frame = capture.read()
            if not read:
                break
            frames.append(frame)
        capture.release()
        count = min(info.frames, len(frames))
        chosen = [frames[(2 * i + 1) * len(frames) // (2 * count)] for i in range(count)]
        height, width = info.size
        clip = np.stack(
            [cv2.cvtColor(cv2.resize(f, (width, height)), cv2.COLOR_BGR2RGB) for f in chosen]
        )
        with torch.inference_mode():
            given = torch.from_numpy(clip).permute(0, 3, 1, 2)[None]
            scores = network(given, torch.tensor([count])).softmax(1)[0]
        answers.append({"video": str(path), "label": info.class_names[int(scores.argmax())]})
    out.write_text(json.dumps(answers))


def main() -> None:
    if sys.argv[1:2] == ["--plain-loop"]:
        plain_loop(*(Path(word) for word in sys.argv[2:5]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=1000, help="How many clips.")
    parser.add_argument("--rounds", type=int, default=3, help="How often each is timed, in turn.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = write_model(folder / "model.safetensors", encoder="tiny")
        made = list(
            write_dataset(
                folder / "made",
                groups=DIFFERENT // len(CLASS_NAMES) // 4,
                clips_per_group=4,
                num_frames=FRAMES,
                side=SIDE,
            )
        )
        videos = folder / "videos"
        videos.mkdir()
        for number in range(args.videos):
            shutil.copy(made[number % len(made)], videos / f"{number:05d}.mp4")
        ours, theirs = folder / "ours.json", folder / "theirs.json"
        rows = []
        for number in range(args.rounds):
            # One clip a video, as the loop takes it.
            words = ["-m", "cliptide.app", "predict", str(model), str(videos), "--eval.clips", "1"]
            command_s, memory = run_watched([*words, "--json", str(ours), "--overwrite"])
            loop_s, _ = run_watched(
                [__file__, "--plain-loop", str(model), str(videos), str(theirs)]
            )
            rows.append({"cliptide_s": command_s, "plain_loop_s": loop_s})
            print(
                f"round {number + 1}: cliptide {args.videos / command_s:.1f} videos/s, plain loop "
                f"{args.videos / loop_s:.1f}: {loop_s / command_s:.2f} times",
                flush=True,
            )
        answers, others = (json.loads(path.read_text("utf-8")) for path in (ours, theirs))
        failed = sum("error" in answer for answer in answers)
        same = sum(a.get("label") == b["label"] for a, b in zip(answers, others, strict=True))
    ratio = statistics.median(row["plain_loop_s"] / row["cliptide_s"] for row in rows)
    middle = memory[-1][0] / 2 if memory else 0.0
    halves = [
        max((held for at, held in memory if (at > middle) == late), default=0) / MIB
        for late in (False, True)
    ]
    print(
        f"{ratio:.2f} times as fast (median of {args.rounds}), {failed} failed, the same label for "
        f"{same} of {len(answers)}; peak memory {halves[0]:.0f} MiB in the first half, "
        f"{halves[1]:.0f} in the second"
    )
    RESULTS.write_text(
        json.dumps(
            {"videos": args.videos, "rounds": rows, "ratio": ratio, "memory_mib": halves}, indent=2
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
