"""Run folders made up for the report: as evaluation writes them, without a model or a video."""

import base64
import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.clip_facts import BASELINES, ORDERS, ClipFacts, write_clip_facts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import VideoPrediction, write_predictions
from cliptide.app.evaluation.report.folder import file_sha256
from cliptide.app.evaluation.report.stored import (
    ConfusedPair,
    Explanation,
    StoredReport,
    Strip,
    write_stored,
)
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task

FRAME_WIDTH, FRAME_HEIGHT, FRAMES = 160, 120, 8
STEPS = 16  # frames that the network is given


def class_names_for(count: int) -> list[str]:
    """Names as data sets have them; the first eight are pairs turned round in time."""
    known = ["open", "close", "push", "pull", "sit down", "stand up", "pick up", "put down"]
    more = [f"Action{number:03d}WithSomeLongName" for number in range(8, count)]
    return [*known, *more][:count]


def made_rows(
    class_names: Sequence[str], *, num_videos: int, seed: int = 0, skill: float = 2.2
) -> list[VideoPrediction]:
    """Predictions of a fair model: it confuses neighbours, and speaks too loudly."""
    rng = np.random.default_rng(seed)
    count = len(class_names)
    rows = []
    for number in range(num_videos):
        true = number % count
        group = (number // count) % 25
        logits = rng.normal(size=count)
        logits[true] += skill + rng.normal() - (1.2 if group == 3 else 0)
        twin = min(true ^ 1, count - 1)
        logits[twin] += 0.8 * skill
        scores = np.exp(1.8 * logits) / np.exp(1.8 * logits).sum()
        rows.append(
            VideoPrediction(
                f"{class_names[true]}/v_g{group:02d}_c{number:04d}.avi",
                class_names[true],
                class_names[int(scores.argmax())],
                tuple(float(score) for score in scores),
                STEPS,
                group=f"g{group:02d}",
            )
        )
    return rows


def made_clips(
    rows: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    task: Task = "single",
    seed: int = 0,
) -> list[ClipFacts]:
    """What the clips are like; orders and baselines are answered worse than the model does."""
    rng = np.random.default_rng(seed)
    place = {name: number for number, name in enumerate(class_names)}

    def worse(row: VideoPrediction, share: float) -> str:
        if rng.random() > share:
            return str(row.predicted)
        at = place.get(str(row.true), 0)
        return class_names[min(at ^ 1, len(class_names) - 1)]

    def numbers_off(row: VideoPrediction, by: float) -> str:
        return "|".join(f"{score + by * rng.normal():.6g}" for score in row.scores)

    def answer(row: VideoPrediction, share: float) -> str:
        if task == "regression":
            return numbers_off(row, share)
        if task == "single":
            return worse(row, share)
        return str(row.predicted) if rng.random() > share else class_names[0]

    shares = dict(zip((*ORDERS, *BASELINES), (0.35, 0.6, 0.5, 0.55, 0.3), strict=True))
    return [
        ClipFacts(
            row.video,
            float(rng.gamma(4, 0.8)) + 0.5,
            *((320, 240) if rng.random() < 0.7 else (640, 360)),
            float(rng.beta(5, 5)),
            float(rng.beta(2, 30)),
            {name: answer(row, share) for name, share in shares.items()},
        )
        for row in rows
        if not row.failed
    ]


def with_streams(
    clips: Sequence[ClipFacts], rows: Sequence[VideoPrediction], *, sound: float, seed: int = 0
) -> list[ClipFacts]:
    """The same of a model of picture and sound: what it says without either, every third silent.

    Args:
        clips: Those to be changed.
        rows: Their predictions.
        sound: How often the answer is lost without the sound, 0 to 1; without the picture it
            never is.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng(seed)
    changed = []
    for number, (clip, row) in enumerate(zip(clips, rows, strict=True)):
        said = str(row.predicted)
        silent = said if rng.random() > sound else "nothing"
        answers = {"without_rgb": said, "only_audio": said}
        answers |= {"without_audio": silent, "only_rgb": silent}
        missing = () if number % 3 else ("audio",)
        changed.append(
            replace(clip, answers=clip.answers | ({} if missing else answers), missing=missing)
        )
    return changed


def made_frames(seed: int) -> npt.NDArray[np.uint8]:
    """(N, H, W, 3) uint8 RGB: a ball crosses a room."""
    rng = np.random.default_rng(seed)
    room = rng.integers(40, 150, size=(5, 7, 3)).astype(np.uint8)
    room = cv2.resize(room, (FRAME_WIDTH, FRAME_HEIGHT), interpolation=cv2.INTER_CUBIC)
    colour = [int(value) for value in rng.integers(130, 255, size=3)]
    frames = np.repeat(room[None], FRAMES, axis=0)
    start, end = rng.uniform(0.1, 0.9, size=(2, 2))
    for number in range(FRAMES):
        at = start + (end - start) * number / (FRAMES - 1)
        centre = (int(at[0] * FRAME_WIDTH), int(at[1] * FRAME_HEIGHT))
        frames[number] = cv2.circle(frames[number].copy(), centre, 16, colour, -1, cv2.LINE_AA)
    return frames


def sprite(frames: npt.NDArray[np.uint8]) -> str:
    """A JPEG as data URL: the frames side by side."""
    bgr = np.concatenate(list(frames), axis=1)[..., ::-1]
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def made_cam(seed: int) -> str:
    """A PNG as data URL: a warm spot that wanders over small tiles."""
    rng = np.random.default_rng(seed)
    size = 14
    y, x = np.mgrid[:size, :size]
    tiles = []
    for _ in range(FRAMES):
        cy, cx = rng.uniform(3, size - 3, size=2)
        heat = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 12)
        tile = np.zeros((size, size, 4), np.uint8)
        tile[..., 2], tile[..., 1], tile[..., 3] = 255, 160 * heat, 190 * heat
        tiles.append(tile)
    _, png = cv2.imencode(".png", np.concatenate(tiles, axis=1))
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode("ascii")


def made_strip(
    video: str,
    *,
    seed: int,
    explained: bool = True,
    output: str = "",
    values: tuple[float, float] = (0.0, 1.0),
    truth: float | None = None,
) -> Strip:
    """A film strip with what drove the answer, which climbs from the first value to the last."""
    rng = np.random.default_rng(seed)
    times = tuple(float(time) for time in np.linspace(0.1, 2.3, STEPS))
    climb = 1 / (1 + np.exp(-np.linspace(-3, 3, STEPS) - rng.normal(size=STEPS) * 0.4))
    end = rng.uniform(0.6, 0.98)
    predicted = climb * end
    true = (1 - predicted) * rng.uniform(0.5, 0.9)
    if truth is not None:
        predicted, true = np.linspace(*values, STEPS), np.full(STEPS, truth)
    explanation = Explanation(
        times,
        tuple(float(v) for v in predicted),
        tuple(float(v) for v in true),
        tuple(float(v) for v in rng.normal(0.03, 0.08, size=STEPS) + (np.arange(STEPS) == 9) * 0.4),
        made_cam(seed),
        output,
    )
    return Strip(
        video,
        sprite(made_frames(seed)),
        FRAMES,
        FRAME_WIDTH,
        FRAME_HEIGHT,
        tuple(float(time) for time in np.linspace(0, 2.4, FRAMES)),
        explanation if explained else None,
    )


def made_history(epochs: int) -> list[dict[str, Any]]:
    """What training writes, one row an epoch."""
    rng = np.random.default_rng(0)
    rows = []
    for epoch in range(1, epochs + 1):
        done = epoch / epochs
        rows.append(
            {
                "epoch": epoch,
                "train_loss": 2.1 * np.exp(-3 * done) + 0.05 * rng.random(),
                "train_top1": 1 - 0.85 * np.exp(-3.2 * done),
                "val_loss": 2.1 * np.exp(-2 * done) + 0.25 * done + 0.1 * rng.random(),
                "val_top1": 0.8 - 0.65 * np.exp(-3 * done) + 0.03 * rng.random(),
                "lr": 1e-3 * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6,
                "grad_norm": 1.4 * np.exp(-done) + 0.2 * rng.random(),
                "grad_norm_max": 4.5 * np.exp(-done) + 2 * rng.random(),
                "skipped_steps": 0,
                "seconds": 12.5 + rng.random(),
                "clips_per_s": 61.2,
                "wait_share": 0.04 + 0.1 * rng.random(),
            }
        )
    return rows


def write_run(
    folder: Path,
    rows: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    task: Task = "single",
    split: str = "test",
    clips: Sequence[ClipFacts] = (),
    strips: bool = False,
    epochs: int = 0,
    metrics: dict[str, Any] | None = None,
    quarantined: Sequence[tuple[str, str, str]] = (),
    config_yaml: str = "",
    temperature: float | None = None,
    nothing_below: float | None = None,
    thresholds: Sequence[float] = (),
    nouns: Nouns | None = None,
    **stored: Any,
) -> Path:
    """Write all files of an evaluated folder but the page; `stored` goes to StoredReport."""
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.csv", rows, class_names, task=task)
    if clips:
        write_clip_facts(folder / "clips.csv", clips)
    found = compute_metrics(
        rows,
        class_names,
        split=split,
        task=task,
        thresholds=thresholds,
        clips=clips,
        temperature=temperature,
        nothing_below=nothing_below,
        nouns=nouns,
    )
    found |= {"views": 1, "predictions_sha256": file_sha256(folder / "predictions.csv")}
    found |= metrics or {}
    (folder / "metrics.json").write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
    if strips:
        stored = made_strips(rows) | stored
    told: dict[str, Any] = {
        "title": "demo-1",
        "command": "cliptide train videos",
        "created": "2026-02-03T14:05:11+00:00",
        "class_names": tuple(class_names),
        "groups_known": True,
        "num_groups": 41,
    }
    write_stored(folder / "report.json", StoredReport(**(told | stored)))
    if epochs:
        _write_table(folder / "history.csv", made_history(epochs))
    if quarantined:
        named = [dict(zip(("video", "split", "reason"), one, strict=True)) for one in quarantined]
        _write_table(folder / "quarantine.csv", named)
    if config_yaml:
        (folder / "config.yaml").write_text(config_yaml, encoding="utf-8")
    return folder


def made_strips(rows: Sequence[VideoPrediction]) -> dict[str, Any]:
    """Strips of the first mistakes, and two confused pairs."""
    wrong = [row for row in rows if not row.failed and not row.correct]
    wrong.sort(key=lambda row: -(row.score or 0))
    pairs: dict[tuple[str, str], ConfusedPair] = {}
    for number, row in enumerate(wrong):
        right = next(
            (other for other in rows if other.correct and other.true == row.predicted), None
        )
        if right is None or len(pairs) == 3:
            continue
        strips = tuple(
            made_strip(video, seed=100 + 2 * number + place, explained=False)
            for place, video in enumerate((row.video, right.video))
        )
        key = (str(row.true), str(row.predicted))
        pairs.setdefault(key, ConfusedPair(*key, strips))
    return {
        "mistakes": tuple(
            made_strip(row.video, seed=number) for number, row in enumerate(wrong[:8])
        ),
        "confused": tuple(pairs.values()),
    }


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
