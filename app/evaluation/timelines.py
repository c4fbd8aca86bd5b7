"""`cliptide evaluate --timeline`: is what a model finds along videos what people annotated?"""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptide.app.evaluation.command_line import repeat_command
from cliptide.app.evaluation.figures.segment_metrics import VideoSegments, segment_metrics
from cliptide.app.evaluation.reading import check_labels_known
from cliptide.app.evaluation.run_folder import claim_run_folder, data_name
from cliptide.app.evaluation.writing import library_versions
from cliptide.app.inference.loading import load
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.prediction import FailedVideo, Segment
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.terminal import log, showing, warn
from cliptide.app.inference.timeline import Timeline, missing_notes
from cliptide.configs.errors import CliptideError, ConfigError, SampleError
from cliptide.datasets.catalog import SAMPLES
from cliptide.datasets.catalog.annotations import AnnotatedVideo, read_annotations
from cliptide.datasets.catalog.wording import counted

METRICS_FILE, SEGMENTS_FILE = "timeline.json", "segments.csv"


@dataclass(frozen=True)
class TimelineEvaluation:
    """What came out.

    Attributes:
        out: The folder with `timeline.json` and `segments.csv`.
        metrics: See `segment_metrics.segment_metrics`.
        failed: Videos that could not be read.
    """

    out: Path
    metrics: Mapping[str, Any]
    failed: tuple[FailedVideo, ...]


def evaluate_timelines(
    model: str,
    data: str | Path,
    *,
    split: str = "test",
    out: Path | None = None,
    overwrite: bool = False,
    renames: Mapping[str, str] | None = None,
    nothing_below: float | None = None,
    smooth_s: float | None = None,
    least_s: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> TimelineEvaluation:
    """Look along annotated videos and compare.

    Args:
        model: A model file.
        data: See `annotations.read_annotations`.
        split: Of a CSV with a column `split`: `test`, `val`, `train` or `all`.
        out: Folder to write to; `runs/<data>-timeline-<n>` by default.
        overwrite: Whether an earlier such evaluation in `out` may be replaced.
        renames: From a label of the annotations to the model's name for it.
        nothing_below: See `ActionRecognizer.timeline`.
        smooth_s: Likewise.
        least_s: Likewise.
        seed: Of the intervals.
        device: Where to compute.

    Raises:
        InputError: Model, data or options are wrong.
        CliptideError: No video could be read.
    """
    recognizer = load(model, device=device)
    if recognizer.task == "regression":
        raise ConfigError(
            "The model predicts numbers, and a timeline is judged by its segments. Evaluate it "
            "without --timeline, on a manifest with start_s and end_s."
        )
    streams = recognizer.info.streams
    nouns = Nouns.of_streams(streams)
    samples = SAMPLES[streams.samples]
    if not streams.has_seconds:
        raise ConfigError(
            f"{model} reads {samples.plural}, which have no seconds, so there is no timeline to "
            "judge. Evaluate it without --timeline."
        )
    videos, notes = read_annotations(Path(data), split=split, samples=samples)
    renames = renames or {}
    labels = {renames.get(a.label, a.label) for video in videos for a in video.annotations}
    check_labels_known(labels, recognizer.class_names, data=Path(data), nouns=nouns)
    for note in notes:
        log(f"Note: {note}")
    out = claim_run_folder(
        f"{data_name(Path(data))}-timeline",
        out=out,
        overwrite=overwrite,
        training=False,
        replaces=(METRICS_FILE, SEGMENTS_FILE),
    )
    timelines: list[tuple[AnnotatedVideo, Timeline]] = []
    failed: list[FailedVideo] = []
    for number, video in enumerate(videos, start=1):
        try:
            timeline = _look_along(
                recognizer,
                video,
                what=f"Looking along {number}/{len(videos)}",
                options={
                    "nothing_below": nothing_below,
                    "smooth_s": smooth_s,
                    "least_s": least_s,
                },
            )
            timelines.append((video, timeline))
        except SampleError as error:
            failed.append(FailedVideo(str(video.path), str(error)))
    if not timelines:
        raise CliptideError(
            f"None of {nouns.counted(len(videos))} could be read: {failed[0].error}"
        )
    compared = [_compared(video, timeline, renames) for video, timeline in timelines]
    annotated = sum(len(video.annotations) for video, _ in timelines)
    beyond = annotated - sum(len(video.true) for video in compared)
    if beyond:
        warn(
            f"{counted(beyond, 'annotated segment')} begin behind the end of the {nouns.sample} "
            "and cannot be found: left out. Are the times seconds from its beginning?"
        )
    along = [timeline for _, timeline in timelines]
    for note in missing_notes(along, nouns):
        log(note)
    missing = Counter(name for timeline in along for name in timeline.missing)
    metrics = {
        "model": model,
        "data": str(data),
        "split": split,
        "seed": seed,
        "command": repeat_command(),
        "versions": library_versions(),
        "nouns": nouns.to_dict(),
        "num_failed": len(failed),
        "num_beyond_end": beyond,
        "failed": [failure.to_json() for failure in failed],
        "missing_streams": {name: missing[name] for name in sorted(missing)},
        **segment_metrics(compared, seed=seed),
    }
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A lone surrogate (a file name that is no UTF-8) becomes its escape, which JSON has too.
    (out / METRICS_FILE).write_bytes(text.encode("utf-8", errors="backslashreplace"))
    _write_segments(out / SEGMENTS_FILE, along, compared)
    return TimelineEvaluation(out, metrics, tuple(failed))


def _look_along(
    recognizer: ActionRecognizer, video: AnnotatedVideo, *, what: str, options: Mapping[str, Any]
) -> Timeline:
    nouns = Nouns.of_streams(recognizer.info.streams)
    with (
        recognizer.play(video.path) as opened,
        showing(total=opened.duration_s, what=what, unit=f"s of {nouns.sample}") as tell,
    ):
        return recognizer.timeline(opened, on_progress=tell, **options)


def _compared(
    video: AnnotatedVideo, timeline: Timeline, renames: Mapping[str, str]
) -> VideoSegments:
    true = []
    for a in video.annotations:
        end_s = timeline.duration_s if a.end_s is None else min(a.end_s, timeline.duration_s)
        if a.start_s < end_s:
            true.append(Segment(a.start_s, end_s, renames.get(a.label, a.label), 1.0))
    return VideoSegments(timeline.duration_s, tuple(true), timeline.segments)


def _write_segments(
    path: Path, timelines: Sequence[Timeline], compared: Sequence[VideoSegments]
) -> None:
    """Annotated and found segments of all videos, for a look at where they differ."""
    # File names need not be UTF-8.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("video", "which", "start_s", "end_s", "label", "score"))
        for timeline, video in zip(timelines, compared, strict=True):
            for which, segments in (("annotated", video.true), ("found", video.found)):
                for s in segments:
                    times = (f"{s.start_s:.3f}", f"{s.end_s:.3f}")
                    score = f"{s.score:.4f}" if which == "found" else ""
                    writer.writerow((timeline.video, which, *times, s.label, score))
