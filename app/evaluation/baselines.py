"""Fitting the baselines that are blind to order, on what the encoder makes of single frames."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cliptide.app.evaluation.figures.ranking import (
    best_thresholds,
    mean_average_precision,
    mean_r2,
)
from cliptide.app.inference.probing import encoded_alone
from cliptide.configs.tasks import Task
from cliptide.datasets.loaders import Batch
from cliptide.models.baselines import FrameBaselines, pooled_views
from cliptide.models.recognizer import Recognizer

# Linear models learn little more from more clips, and a training's end should take seconds.
MOST_CLIPS = 4000
# How strongly weights are held near zero, the strongest first; validation chooses.
_STRENGTHS = (0.01, 0.1, 1.0)
_ITERATIONS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Vectors:
    """Features of clips and their labels.

    Attributes:
        single_frame: (N, D) of the middle frame.
        mean_pool: (N, D), the mean over the frames.
        sides: (2, N, D) of the frames at a sixth and five sixths, which single-frame training
            takes beside the middle one.
        labels: (N) class indices, or (N, K) labels or targets.
    """

    single_frame: Floats
    mean_pool: Floats
    sides: Floats
    labels: NDArray[Any]


def gather_vectors(
    network: Recognizer, batches: Iterable[Batch], *, device: torch.device
) -> Vectors | None:
    """Run the encoder over clips, one view of each; those that cannot be read are left out.

    Returns:
        The features; None where no clip could be read.
    """
    parts: list[tuple[Floats, Floats, Floats, NDArray[Any]]] = []
    for batch in batches:
        if not len(batch.clips):
            continue
        with torch.inference_mode():
            alone = encoded_alone(network, batch.to(device))
            rows = torch.arange(len(alone), device=alone.device)
            lengths = batch.lengths.to(alone.device)
            both = pooled_views(alone, batch.lengths)
            sides = torch.stack([alone[rows, lengths // 6], alone[rows, lengths * 5 // 6]])
        views = (both["single_frame"], both["mean_pool"], sides)
        single, mean, beside = (view.float().cpu().numpy().astype(np.float64) for view in views)
        parts.append((single, mean, beside, batch.labels.cpu().numpy()))
    if not parts:
        return None
    singles, means, besides, labels = zip(*parts, strict=True)
    return Vectors(
        np.concatenate(singles),
        np.concatenate(means),
        np.concatenate(besides, axis=1),
        np.concatenate(labels),
    )


def fit_baselines(
    train: Vectors, val: Vectors, *, task: Task, num_outputs: int
) -> FrameBaselines | None:
    """Fit both baselines by scikit-learn, the strength of their regularisation by validation.

    Args:
        train: What to learn from.
        val: What to choose by.
        task: What the labels mean.
        num_outputs: Classes, labels or targets.

    Returns:
        The baselines; None where the training clips have but one class.
    """
    if task == "single" and len(np.unique(train.labels)) < 2:
        return None
    every_frame = np.concatenate([train.single_frame, *train.sides])
    thrice = np.concatenate([train.labels] * 3)
    fitted = {
        "single_frame": _fit(every_frame, thrice, val.single_frame, val.labels, task, num_outputs),
        "mean_pool": _fit(
            train.mean_pool, train.labels, val.mean_pool, val.labels, task, num_outputs
        ),
    }
    return FrameBaselines(
        **{name: torch.from_numpy(weight.astype(np.float32)) for name, weight in fitted.items()}
    )


def _fit(
    features: Floats,
    labels: NDArray[Any],
    val_features: Floats,
    val_labels: NDArray[Any],
    task: Task,
    num_outputs: int,
) -> Floats:
    """(K, D + 1): the weights that do best on validation, on features as they come."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled, val_scaled = (features - centre) / spread, (val_features - centre) / spread
    candidates = [
        _fitted(scaled, labels, strength=strength, task=task, num_outputs=num_outputs)
        for strength in _STRENGTHS
    ]
    quality = [_quality(_outputs(val_scaled, weight), val_labels, task) for weight in candidates]
    best = candidates[int(np.argmax(quality))]
    if task == "multi":
        # Moved so that each label's best threshold on validation is 0.5; the model's own were
        # fitted there too.
        logits = _outputs(val_scaled, best)
        cuts = np.clip(best_thresholds(val_labels > 0.5, _sigmoid(logits)), 1e-6, 1 - 1e-6)
        best[:, -1] -= np.log(cuts / (1 - cuts))
    weight = best[:, :-1] / spread
    offset = best[:, -1] - weight @ centre
    return np.concatenate([weight, offset[:, None]], axis=1)


def _fitted(
    features: Floats, labels: NDArray[Any], *, strength: float, task: Task, num_outputs: int
) -> Floats:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    weight = np.zeros((num_outputs, features.shape[1] + 1))
    if task == "regression":
        ridge = Ridge(alpha=1 / strength).fit(features, labels)
        weight[:, :-1], weight[:, -1] = ridge.coef_, ridge.intercept_
        return weight
    # A fit that is cut short is a baseline all the same.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=_ITERATIONS)
        if task == "single":
            model.fit(features, labels)
            # Two classes have one row, for the second.
            rows = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
            weight[:, -1] = -1e3  # a class without training clips is never answered
            weight[model.classes_, -1] = 0.0
            weight[rows, :-1], weight[rows, -1] = model.coef_, model.intercept_
            return weight
        for label in range(num_outputs):
            has = labels[:, label] > 0.5
            if has.all() or not has.any():
                weight[label, -1] = 1e3 if has.all() else -1e3
                continue
            model.fit(features, has)
            weight[label, :-1], weight[label, -1] = model.coef_[0], model.intercept_[0]
    return weight


def _outputs(features: Floats, weight: Floats) -> Floats:
    return features @ weight[:, :-1].T + weight[:, -1]


def _quality(outputs: Floats, labels: NDArray[Any], task: Task) -> float:
    if task == "single":
        return float((outputs.argmax(axis=1) == labels).mean())
    if task == "multi":
        found = mean_average_precision(labels > 0.5, outputs)
    else:
        found = mean_r2(labels.astype(np.float64), outputs)
    return -np.inf if found is None else found


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))
