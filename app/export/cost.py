"""What 8 bits cost: both models on the same clips of a data set's test split."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cliptide.app.evaluation.compare import Comparison, compare_runs
from cliptide.app.evaluation.matching import EvaluatedRun
from cliptide.app.evaluation.predictions import VideoPrediction, written_scores
from cliptide.app.evaluation.reading import read_to_score
from cliptide.app.evaluation.scored import answer_text
from cliptide.app.inference.engine import scores_of
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.onnx_engine import open_onnx
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.rules import sampling_rule, streams_of
from cliptide.app.inference.temperature import scaled
from cliptide.app.inference.terminal import track
from cliptide.configs.errors import DataError, SampleError
from cliptide.configs.schema import EvalConfig
from cliptide.datasets.in_order import in_order, thread_count
from cliptide.datasets.reading import Views
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.samples import read_views
from cliptide.models.info import ModelInfo

NAMES = ("float32", "int8")


@dataclass(frozen=True)
class Cost:
    """What two exports of a model said of the same clips.

    Attributes:
        comparison: Their figures, and the difference with its interval.
        clips_per_s: Of each, decoding left out.
        num_failed: Videos that could not be read, in neither.
    """

    comparison: Comparison
    clips_per_s: tuple[float, ...]
    num_failed: int


def cost_on(data: Path, folders: Sequence[Path]) -> Cost:
    """Score a data set's test split with two exports of one model.

    Args:
        data: The data set, read as in the model's training.
        folders: The exports, that in 32 bits first.

    Raises:
        InputError: The data set does not fit the model.
        DataError: No video of it can be read.
    """
    recognizers = [ActionRecognizer(open_onnx(folder, device="cpu")) for folder in folders]
    info = recognizers[0].info
    nouns = Nouns.of_streams(info.streams)
    seed = int(info.run.get("seed", 0))
    found = read_to_score(data, info, split="test", seed=seed, given={}, renames={})
    rows: list[list[VideoPrediction]] = [[] for _ in recognizers]
    seconds, num_clips = [0.0] * len(recognizers), 0
    read = partial(_views, info=info)
    threads = thread_count("auto")
    all_views = in_order(read, found.records, threads=threads)
    shown = track(all_views, total=len(found.records), what="Measuring", unit=nouns.samples)
    for record, views in zip(found.records, shown, strict=True):
        if views is None:
            continue
        num_clips += len(views.clips)
        for number, recognizer in enumerate(recognizers):
            began = time.perf_counter()
            outputs = recognizer.engine.score_clips(views.clips)
            seconds[number] += time.perf_counter() - began
            mean = scores_of(outputs, task=info.task).mean(axis=0)
            calibrated: list[float] = scaled(mean, info.temperature or 1.0).tolist()
            scores = written_scores(calibrated)
            rows[number].append(
                VideoPrediction(
                    record.name,
                    record.label,
                    answer_text(recognizer, scores),
                    scores,
                    views.frames_used,
                    record.group,
                )
            )
    if not rows[0]:
        raise DataError(f"No test {nouns.sample} of {data} can be read. See: cliptide check {data}")
    runs = [
        EvaluatedRun(
            name=name,
            folder=folder,
            task=info.task,
            class_names=info.class_names,
            rows=tuple(of_run),
            nouns=nouns,
        )
        for name, folder, of_run in zip(NAMES, folders, rows, strict=True)
    ]
    return Cost(
        compare_runs(runs, seed=seed),
        tuple(num_clips / max(spent, 1e-9) for spent in seconds),
        len(found.records) - len(rows[0]),
    )


def _views(record: SampleRecord, *, info: ModelInfo) -> Views | None:
    """The clips that evaluation takes of a video; None where it cannot be read."""
    clips = int(info.run.get("eval", {}).get("clips", EvalConfig().clips))
    try:
        return read_views(record, streams_of(info), rule=sampling_rule(info), num_views=clips)
    except SampleError:
        return None
