"""Videos through a model: each exactly once, with what it is like and what else was tried."""

from collections.abc import Sequence
from dataclasses import dataclass

from cliptide.app.evaluation.clip_facts import BASELINES, ClipFacts, written_number
from cliptide.app.evaluation.predictions import VideoPrediction, written_scores
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.probing import Probe
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.scoring import VideoScores
from cliptide.app.inference.terminal import track
from cliptide.configs.tasks import DEFAULT_THRESHOLD
from cliptide.datasets.labels import SEPARATOR, joined_names
from cliptide.datasets.loaders import scoring_worker_count
from cliptide.datasets.records import SampleRecord


@dataclass(frozen=True)
class Scored:
    """What a model said.

    Attributes:
        rows: One prediction a record, in their order, failed ones included.
        facts: What each readable one is like, and what was answered under other conditions.
    """

    rows: tuple[VideoPrediction, ...]
    facts: tuple[ClipFacts, ...]


def score_all(
    recognizer: NetworkRecognizer,
    records: Sequence[SampleRecord],
    *,
    clips: int,
    workers: int | str = "auto",
    probe: Probe | None = None,
    what: str = "Evaluating",
) -> Scored:
    """Score each record exactly once; one that cannot be read becomes a failed row.

    Args:
        recognizer: The model.
        records: What to score.
        clips: Clips taken from each video.
        workers: Processes that decode, or `auto`.
        probe: What to try beside the clips as they are.
        what: What the progress says.
    """
    count = scoring_worker_count(workers, num_samples=len(records))
    rows, facts = [], []
    nouns = Nouns.of_streams(recognizer.info.streams)
    results = recognizer.score_records(records, clips=clips, workers=count, probe=probe)
    for result in track(results, total=len(records), what=what, unit=nouns.samples):
        record = records[result.index]
        # As predictions.csv will hold them: its figures are those of metrics.json to the digit.
        scores = () if result.scores is None else written_scores(result.scores.tolist())
        rows.append(
            VideoPrediction(
                video=record.name,
                true=record.label,
                predicted=answer_text(recognizer, scores) if scores else None,
                scores=scores,
                frames_used=result.frames_used,
                group=record.group,
                error=result.error,
            )
        )
        if scores:
            facts.append(_facts(recognizer, record, result))
    return Scored(tuple(rows), tuple(facts))


def _facts(recognizer: NetworkRecognizer, record: SampleRecord, result: VideoScores) -> ClipFacts:
    looks = result.looks
    return ClipFacts(
        video=record.name,
        duration_s=written_number(result.duration_s),
        width=looks.width if looks else None,
        height=looks.height if looks else None,
        brightness=written_number(looks.brightness) if looks else None,
        motion=written_number(looks.motion) if looks else None,
        answers={
            name: answer_text(recognizer, scores.tolist(), halves=name in BASELINES)
            for name, scores in result.tried.items()
        },
        order_change=None if result.order_change is None else written_number(result.order_change),
        missing=result.missing,
    )


def answer_text(
    recognizer: ActionRecognizer, scores: Sequence[float], *, halves: bool = False
) -> str:
    """What scores stand for, as predictions.csv writes it.

    Args:
        recognizer: Knows the labels.
        scores: In its order.
        halves: Whether a label is given from 0.5 on, in place of the model's own threshold.
    """
    if recognizer.task == "regression":
        return SEPARATOR.join(f"{number:.9g}" for number in scores)
    thresholds = [DEFAULT_THRESHOLD] * len(scores) if halves else ()
    return joined_names(recognizer.labels_for(scores, thresholds=thresholds))
