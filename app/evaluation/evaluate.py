"""Scoring a model on a data set: every video once, files and a report."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.mistakes import confused_pairs, mistake_strips
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.reading import read_to_score
from cliptide.app.evaluation.run_folder import claim_run_folder, data_name
from cliptide.app.evaluation.scored import score_all
from cliptide.app.evaluation.writing import write_evaluation
from cliptide.app.inference.network import load_network
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.probing import Probe
from cliptide.app.inference.terminal import warn
from cliptide.configs.schema import DataConfig, EvalConfig, RunConfig
from cliptide.datasets.copies import find_copies
from cliptide.datasets.records import SampleRecord
from cliptide.models.bundle import read_baselines


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        metrics: What metrics.json holds.
        predictions: One row a video, failed ones included.
        out: The folder with metrics.json, predictions.csv and report.html.
    """

    metrics: Mapping[str, Any]
    predictions: tuple[VideoPrediction, ...]
    out: Path

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.out / "report.html"


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "test",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    clips: int | None = None,
    probes: bool = True,
    workers: int | str = "auto",
    kind: str | None = None,
    fold: int | None = None,
    group_regex: str | None = None,
    renames: Mapping[str, str] | None = None,
    seed: int | None = None,
    device: str = "auto",
) -> Evaluation:
    """Score a model on a data set and write a report.

    What is not given is taken from the model file, so that the model is scored on the very
    split it was held out from.

    Args:
        model: A model file.
        data: A data set; see `read_catalog`.
        split: `test`, `val`, `train`, or `all` for every video.
        out: Folder to write to; `runs/<data>-evaluate-<n>` by default.
        overwrite: Whether an earlier evaluation in `out` may be replaced.
        clips: Clips taken from each video; their scores are averaged.
        probes: Whether to try the videos with frames shuffled, reversed and one alone, and the
            baselines of the model file.
        workers: Processes that decode, or `auto`.
        kind: Layout of the data on disk.
        fold: Official fold.
        group_regex: Regular expression finding the group in a file's path.
        renames: Classes of the data set and the model's names for them.
        seed: Seed of a split that has to be made, of the shuffling and of the intervals.
        device: Where to compute.

    Raises:
        InputError: The model, the data or an option is wrong.
    """
    recognizer = load_network(Path(model), device=device)
    info, data = recognizer.info, Path(data)
    options = {"kind": kind, "fold": fold, "group_regex": group_regex}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if seed is None:
        seed = int(info.run.get("seed", 0))
    if clips is None:
        clips = int(info.run.get("eval", {}).get("clips", EvalConfig().clips))
    values: dict[str, Any] = {**given, "workers": workers}
    RunConfig(data=DataConfig(**values), eval=EvalConfig(clips=clips), seed=seed)  # checks them

    nouns = Nouns.of_streams(info.streams)
    found = read_to_score(data, info, split=split, seed=seed, given=given, renames=renames or {})
    _warn_of_known_clips(
        split, nouns, same_split=found.same_split, torn_groups=found.plan.torn_groups
    )
    folder = claim_run_folder(
        f"{data_name(data)}-evaluate",
        out=None if out is None else Path(out),
        overwrite=overwrite,
        training=False,
    )
    probe = Probe(seed, read_baselines(Path(model))) if probes else None
    began = time.perf_counter()
    scored = score_all(recognizer, found.records, clips=clips, workers=workers, probe=probe)
    scored_s = time.perf_counter() - began
    metrics = compute_metrics(
        scored.rows,
        info.class_names,
        split=split,
        seed=seed,
        task=info.task,
        thresholds=info.thresholds,
        clips=scored.facts,
        temperature=info.temperature,
        nothing_below=info.nothing_below,
        nouns=nouns,
    )
    began = time.perf_counter()
    mistakes = mistake_strips(recognizer, scored.rows, found.records)
    confused = confused_pairs(recognizer, scored.rows, found.records)
    explained_s = time.perf_counter() - began
    told = (
        f"this split's other {nouns.records}" if found.same_split else "another split or other data"
    )
    whole = f"all {nouns.samples}"
    # Of other data nobody knows which clips the model learnt from.
    copies = copies_in(found.plan.records, scored.rows) if found.same_split else []
    metrics = {
        **metrics,
        "split_fingerprint": found.plan.fingerprint,
        "same_split": found.same_split,
        "torn_groups": len(found.plan.torn_groups),
        "copies": len(copies),
        "views": clips,
        "seed": seed,
        "timings": timings(scored_s, videos=len(scored.rows), explained_s=explained_s),
    }
    written = write_evaluation(
        folder,
        scored=scored,
        metrics=metrics,
        class_names=info.class_names,
        task=info.task,
        catalog=found.catalog,
        plan=found.plan,
        device=recognizer.device,
        title=f"{data_name(data)}, {whole if split == 'all' else f'{split} split'}",
        facts={
            "model": str(model),
            "trained on": f"{told} (fingerprint {info.split_fingerprint})",
            **({"fold": str(found.catalog.fold)} if found.catalog.fold else {}),
            **{f"read as {new}": old for old, new in (renames or {}).items()},
        },
        mistakes=mistakes,
        confused=confused,
        copies=copies,
    )
    return Evaluation(written, scored.rows, folder)


def copies_in(
    records: Sequence[SampleRecord], rows: Sequence[VideoPrediction]
) -> list[tuple[str, str]]:
    """Find scored clips that are copies of clips of training or validation; see `find_copies`.

    Files that could not be read may be alike, as broken downloads are, and taught nothing.
    """
    failed = {row.video for row in rows if row.failed}
    return find_copies([record for record in records if record.name not in failed])


def timings(scored_s: float, *, videos: int, explained_s: float) -> dict[str, float]:
    """What metrics.json says of the time that an evaluation took."""
    return {
        "scoring_s": round(scored_s, 3),
        "videos_per_s": round(videos / scored_s, 3),
        "explaining_s": round(explained_s, 3),
    }


def _warn_of_known_clips(
    split: str, nouns: Nouns, *, same_split: bool, torn_groups: Sequence[str]
) -> None:
    if same_split and split == "all":
        warn(
            f"--split all scores the training {nouns.records} too: it says nothing about new "
            f"{nouns.samples}."
        )
    elif not same_split and split != "all":
        warn(
            f"These are not the {nouns.records}, or not the split, that the model was trained "
            f"with: {nouns.records} it knows may be among them. For a data set it has never seen, "
            f"--split all scores every {nouns.sample}."
        )
    if num := len(torn_groups):
        warn(
            f"LEAKY SPLIT: {num} {'group stands' if num == 1 else 'groups stand'} in both train "
            "and test. The score is too good, and the report says so."
        )
