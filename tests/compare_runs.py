"""Folders of evaluated runs with given answers, as an evaluation writes them."""

import json
from pathlib import Path

import numpy as np

from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.matching import EvaluatedRun
from cliptide.app.evaluation.predictions import VideoPrediction, write_predictions

NAMES = ("open", "close", "lift")


def single_rows(right, *, names=NAMES, groups=12, seed=0, prefix="v"):
    """One row a video: right or wrong as asked, with a random score above all others."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, is_right in enumerate(right):
        true = number % len(names)
        said = true if is_right else (true + 1) % len(names)
        scores = rng.dirichlet(np.ones(len(names)))
        best = scores.argmax()
        scores[[said, best]] = scores[[best, said]]
        rows.append(
            VideoPrediction(
                f"{prefix}{number}.avi",
                names[true],
                names[said],
                tuple(map(float, scores)),
                16,
                group=f"g{number % groups}",
            )
        )
    return rows


def multi_rows(num_videos, *, skill, seed, names=NAMES, groups=12):
    """Rows whose labels are fixed by the number of the video, their scores by skill and seed."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num_videos):
        has = np.random.default_rng(1000 + number).random(len(names)) < 0.4
        scores = np.clip(0.5 + skill * (has - 0.5) + rng.normal(size=len(names)) * 0.25, 0, 1)
        rows.append(
            VideoPrediction(
                f"v{number}.avi",
                "|".join(sorted(np.array(names)[has])),
                "|".join(sorted(np.array(names)[scores >= 0.5])),
                tuple(map(float, scores)),
                16,
                group=f"g{number % groups}",
            )
        )
    return rows


def regression_rows(num_videos, *, noise, seed, groups=12):
    """Rows of one target; the true numbers are fixed, the errors by noise and seed."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num_videos):
        true = float(np.sin(number))
        said = true + noise * float(rng.normal())
        group = f"g{number % groups}"
        rows.append(VideoPrediction(f"v{number}.avi", repr(true), repr(said), (said,), 8, group))
    return rows


def made_run(name, rows, *, task="single", names=NAMES, **more):
    """A run as `read_run` gives it."""
    return EvaluatedRun(
        name=name, folder=Path(name), task=task, class_names=tuple(names), rows=tuple(rows), **more
    )


def write_run(folder, rows, *, task="single", names=NAMES, **more):
    """Write metrics.json and predictions.csv; `more` stands in metrics.json too."""
    folder.mkdir(parents=True)
    metrics = compute_metrics(rows, names, split="test", task=task)
    metrics |= {"split_fingerprint": "abc", "torn_groups": 0} | more
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    write_predictions(folder / "predictions.csv", rows, names, task=task)
    return folder
