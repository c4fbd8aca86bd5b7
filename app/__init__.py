"""What a person does with cliptide: train, evaluate, predict.

    from cliptide.app import evaluate, load, train

The names are resolved on first use: importing this package imports nothing heavy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cliptide.app.evaluation.evaluate import evaluate
    from cliptide.app.inference.recognise import load
    from cliptide.app.training.run import train

__all__ = ["evaluate", "load", "train"]

_HOMES = {
    "evaluate": "cliptide.app.evaluation.evaluate",
    "load": "cliptide.app.inference.recognise",
    "train": "cliptide.app.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
