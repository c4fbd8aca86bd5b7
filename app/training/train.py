"""`train`: one run, the folds of a cross-validation, or going on with either."""

import os
from pathlib import Path
from typing import overload

from cliptide.app.training.folds import FoldsResult, is_folds_run, resume_folds, train_folds
from cliptide.app.training.run import TrainingResult
from cliptide.app.training.single import train_single
from cliptide.configs.errors import InputError
from cliptide.configs.schema import RunConfig


@overload
def train(
    data: str | os.PathLike[str],
    *,
    folds: int,
    config: RunConfig | None = None,
    out: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str | None = None,
) -> FoldsResult: ...
@overload
def train(
    data: str | os.PathLike[str] | None = None,
    *,
    resume: str | os.PathLike[str],
    device: str | None = None,
) -> TrainingResult | FoldsResult: ...
@overload
def train(
    data: str | os.PathLike[str] | None = None,
    *,
    config: RunConfig | None = None,
    out: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str | None = None,
) -> TrainingResult: ...
def train(
    data: str | os.PathLike[str] | None = None,
    *,
    config: RunConfig | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str | None = None,
    folds: int | None = None,
) -> TrainingResult | FoldsResult:
    """Train a recogniser, evaluate it on the test split and write the run folder.

    Args:
        data: A data set; see `read_catalog`. May be left out when resuming.
        config: What to train and how; the defaults, or those of `init`, when left out.
        out: The run folder; `runs/<data>-<n>` by default.
        resume: A run folder to go on with from its last whole epoch, under its own config.
        init: A model file to start from, for fine-tuning, also on other classes.
        overwrite: Whether an earlier run in `out` may be replaced.
        device: Where to compute, in place of the config's; a run may be resumed on another.
        folds: Cross-validate: deal all clips into so many folds and train once for each, in a
            folder of its own; the number of official folds takes those.

    Returns:
        What the run made; with `folds`, or resuming such a run, what all of its folds made.

    Raises:
        InputError: The data, the config or an option is wrong.
    """
    if resume is not None:
        if config or out or init or folds:
            raise InputError(
                "A resumed run keeps its folder and its config. Leave out everything but --resume "
                "(and DATA, where the data has moved)."
            )
        if is_folds_run(Path(resume)):
            return resume_folds(Path(resume), data=data, device=device)
    elif folds is not None:
        return train_folds(
            data,
            folds=folds,
            config=config,
            out=out,
            init=init,
            overwrite=overwrite,
            device=device,
        )
    return train_single(
        data,
        config=config,
        out=out,
        resume=resume,
        init=init,
        overwrite=overwrite,
        device=device,
    )
