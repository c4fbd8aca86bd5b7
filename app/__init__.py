"""What a person does with cliptide: train, evaluate, compare, predict, search for the best config.

    from cliptide.app import compare, evaluate, load, train, tune

The names are resolved on first use: importing this package imports nothing heavy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cliptide.app.evaluation.compare_folders import compare
    from cliptide.app.evaluation.evaluate import evaluate
    from cliptide.app.inference.loading import load
    from cliptide.app.training.train import train
    from cliptide.app.tuning.tune import tune

__all__ = ["compare", "evaluate", "load", "train", "tune"]

_HOMES = {
    "compare": "cliptide.app.evaluation.compare_folders",
    "evaluate": "cliptide.app.evaluation.evaluate",
    "load": "cliptide.app.inference.loading",
    "train": "cliptide.app.training.train",
    "tune": "cliptide.app.tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
