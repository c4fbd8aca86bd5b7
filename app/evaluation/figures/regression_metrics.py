"""The figures of a model that predicts numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cliptide.app.evaluation.figures.bootstrap import Unit, interval_of_mean
from cliptide.app.evaluation.figures.ranking import mean_r2, r2
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.datasets.labels import numbers_in


def regression_metrics(
    scored: Sequence[VideoPrediction],
    target_names: Sequence[str],
    *,
    units: Sequence[Unit],
    seed: int,
) -> dict[str, Any]:
    """Compute what metrics.json holds of task regression, by scikit-learn.

    Args:
        scored: Predictions with true numbers, of videos that could be read.
        target_names: The targets, in the order of the scores.
        units: What the bootstrap draws as a whole, one for each of `scored`.
        seed: Of the bootstrap.

    Returns:
        - `mae`, `rmse`, `r2`: mean absolute error, root of the mean squared error and share of
          explained variance, each the mean over the targets.
        - `ci95`: interval of `mae`.
        - `per_target`: {target: {mae, rmse, r2, true_mean, true_std}}.
        - `baselines`: `mean`, the MAE of always saying the mean of these very videos, which is
          more than a constant could know.

        What is undefined is None: all of it without a video, R2 where the targets do not differ.
    """
    if not scored:
        nothing = dict.fromkeys(("mae", "rmse", "r2", "true_mean", "true_std"))
        return {
            "mae": None,
            "rmse": None,
            "r2": None,
            "ci95": None,
            "per_target": {name: dict(nothing) for name in target_names},
            "baselines": {"mean": None},
        }
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    true = np.array([numbers_in(str(row.true)) for row in scored], dtype=np.float64)
    said = np.array([row.scores for row in scored], dtype=np.float64)
    mae = mean_absolute_error(true, said, multioutput="raw_values")
    rmse = root_mean_squared_error(true, said, multioutput="raw_values")
    constant = np.broadcast_to(true.mean(axis=0), true.shape)
    figures = zip(target_names, mae, rmse, r2(true, said), true.T, strict=True)
    return {
        "mae": float(mae.mean()),
        "rmse": float(rmse.mean()),
        "r2": mean_r2(true, said),
        "ci95": interval_of_mean(np.abs(true - said).mean(axis=1), units, seed=seed),
        "per_target": {
            name: {
                "mae": float(absolute),
                "rmse": float(squared),
                "r2": explained,
                "true_mean": float(values.mean()),
                "true_std": float(values.std()),
            }
            for name, absolute, squared, explained, values in figures
        },
        "baselines": {"mean": float(mean_absolute_error(true, constant))},
    }
