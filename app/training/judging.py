"""What a model file is given when its training ends: calibration and baselines, by validation."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from cliptide.app.evaluation.baselines import fit_baselines, gather_vectors
from cliptide.app.evaluation.figures.calibration import fit_temperature, suggest_threshold
from cliptide.app.evaluation.scored import score_all
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.temperature import scaled
from cliptide.app.inference.terminal import log, track
from cliptide.app.training.figures import FIGURES, WholeSplit
from cliptide.datasets.clips import Sample
from cliptide.datasets.records import SampleRecord
from cliptide.models.baselines import FrameBaselines
from cliptide.models.late import LateHead, fit_weights

# With fewer validation videos, a temperature would be more noise than knowledge.
LEAST_TO_CALIBRATE = 20


def calibrate(
    recognizer: NetworkRecognizer,
    val_records: Sequence[SampleRecord],
    *,
    clips: int,
    workers: int | str,
) -> NetworkRecognizer:
    """Fit the temperature and the threshold for "nothing of these" on validation.

    Args:
        recognizer: The model, calibrated before or not.
        val_records: The validation clips.
        clips: Clips taken from each video, as in the evaluation.
        workers: Processes that decode, or `auto`.

    Returns:
        The model with both in its description; with neither where too few videos can be read,
        and as it was for other tasks than single.
    """
    if recognizer.task != "single":
        return recognizer
    # A resumed run evaluates a model again that has both already.
    raw = replace(recognizer.info, temperature=None, nothing_below=None)
    recognizer = NetworkRecognizer(recognizer.network, raw, device=recognizer.device)
    rows = []
    if len(val_records) >= LEAST_TO_CALIBRATE:
        scored = score_all(
            recognizer, val_records, clips=clips, workers=workers, what="Calibrating"
        )
        rows = [row for row in scored.rows if not row.failed]
    if len(rows) < LEAST_TO_CALIBRATE:
        nouns = Nouns.of_streams(recognizer.info.streams)
        log(
            f"Note: {len(rows) or len(val_records)} validation {nouns.samples} are too few to "
            f"calibrate the scores ({LEAST_TO_CALIBRATE} are needed)."
        )
        return recognizer
    index = {name: place for place, name in enumerate(recognizer.class_names)}
    scores = np.array([row.scores for row in rows], dtype=np.float64)
    labels = np.array([index[str(row.true)] for row in rows], dtype=np.int64)
    temperature = fit_temperature(scores, labels)
    info = replace(
        recognizer.info,
        temperature=temperature,
        nothing_below=suggest_threshold(scaled(scores, temperature), labels),
    )
    return NetworkRecognizer(recognizer.network, info, device=recognizer.device)


def fit_fusion(
    recognizer: NetworkRecognizer, loader: DataLoader[Sample], *, loss: nn.Module
) -> NetworkRecognizer:
    """Weigh the streams of a late fusion by validation; other models stay as they are.

    Args:
        recognizer: The trained model; its weights are set.
        loader: Of the validation clips, in order and without augmentation.
        loss: Of validation.

    Returns:
        The model with the validation figures of the weighed scores in its description, and with
        the thresholds of several labels fitted to them. (The history of the epochs keeps those of
        streams that weigh alike.)
    """
    network, head = recognizer.network, recognizer.network.head
    if not isinstance(head, LateHead):
        return recognizer
    head.weigh_alike()  # a resumed run weighs a model again that has weights already
    outputs, labels = [], []
    head.keeps_apart = True
    try:
        with torch.inference_mode():
            for batch in loader:
                if len(batch.clips):
                    moved = batch.to(recognizer.device)
                    outputs.append(network(moved.clips, moved.lengths).cpu())
                    labels.append(batch.labels)
    finally:
        head.keeps_apart = False
    if sum(len(part) for part in labels) < LEAST_TO_CALIBRATE:
        log(
            "Note: there are too few validation samples to weigh the streams by "
            f"({LEAST_TO_CALIBRATE} are needed): they weigh alike."
        )
        return recognizer
    apart, truth, task = torch.cat(outputs), torch.cat(labels), recognizer.task
    if apart.isnan().any():
        return recognizer  # the training diverged, which scoring says
    scale = network.target_scale.std.cpu() if task == "regression" else None
    fitted = fit_weights(apart, truth, task=task, scale=scale)
    head.weights.copy_(fitted.weights)
    head.total.copy_(fitted.total)
    weights = dict(zip(network.streams.names, head.weights.tolist(), strict=True))
    told = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    log(f"Weights of the streams, by validation: {told}, of {float(head.total):.2f} in all")
    split = WholeSplit(task)
    split.add(fitted.outputs, truth)
    figure = split.figure()
    if task == "single":
        figure = float((fitted.outputs.argmax(dim=1) == truth).double().mean())
    val = {FIGURES[task].key: figure, "loss": float(loss.cpu()(fitted.outputs, truth))}
    before = recognizer.info.metrics
    info = replace(
        recognizer.info,
        thresholds=split.thresholds(),
        metrics={**before, "val": {**before["val"], **val}},
    )
    return NetworkRecognizer(network, info, device=recognizer.device)


def learn_baselines(
    recognizer: NetworkRecognizer,
    loaders: Callable[[], tuple[DataLoader[Sample], DataLoader[Sample]]],
) -> FrameBaselines | None:
    """Fit the baselines on what the model's encoder makes of training and validation clips.

    Args:
        recognizer: The trained model.
        loaders: Makes the loaders of both, in order and without augmentation.

    Returns:
        The baselines; None where no clip could be read, or all are of one class.
    """
    vectors = []
    unit = Nouns.of_streams(recognizer.info.streams).samples
    for loader, what in zip(loaders(), ("Baselines", "Baselines, validation"), strict=True):
        total = len(loader.dataset)  # type: ignore[arg-type]
        batches = track(loader, total=total, what=what, unit=unit, weigh=lambda b: len(b.samples))
        vectors.append(gather_vectors(recognizer.network, batches, device=recognizer.device))
    train, val = vectors
    if train is None or val is None:
        return None
    return fit_baselines(train, val, task=recognizer.task, num_outputs=len(recognizer.class_names))
