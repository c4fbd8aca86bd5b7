"""The folder that a run writes into: found free, never overwritten unasked."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from cliptide.configs.errors import InputError

# What a run writes; with --overwrite these go, and nothing else in the folder does.
EVALUATION_FILES = (
    "metrics.json",
    "predictions.csv",
    "clips.csv",
    "report.json",
    "report.html",
    "report.html.part",
)
COMPARISON_FILES = ("compare.html", "differences.csv")
TRAINING_FILES = (
    "config.yaml",
    "model.safetensors",
    "model.safetensors.part",
    "last.ckpt",
    "last.ckpt.part",
    "history.csv",
    "history.csv.part",
    "quarantine.csv",
    "missing_streams.csv",
    "folds.csv",
    "folds.csv.part",
)


def data_name(data: Path) -> str:
    """A short name of a data set, fit for a folder: `fight/videos.csv` -> `fight-videos`."""
    path = data.resolve()
    name = f"{path.parent.name}-{path.stem}" if path.is_file() else path.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"


def claim_run_folder(
    name: str,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    training: bool = True,
    replaces: Sequence[str] = (),
) -> Path:
    """Make the folder of a new run.

    Args:
        name: What the run is about; the default folder is `runs/<name>-<n>`, n counting up.
        out: Where to write instead.
        overwrite: Whether the files of an earlier run in `out` may be replaced.
        training: Whether the new run trains; one that evaluates never replaces a trained model.
        replaces: What the new run replaces in `out`, and nothing else; by default whatever a
            training or an evaluation writes.

    Raises:
        InputError: `out` is not empty, holds a model that would go, or cannot be made.
    """
    if out is None:
        taken = [
            int(match[1])
            for path in Path("runs").glob(f"{name}-*")
            if (match := re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name))
        ]
        number = max(taken, default=0) + 1
        while True:
            folder = Path("runs") / f"{name}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:  # another run took it just now
                number += 1
                continue
            except OSError as error:
                raise InputError(
                    f"The folder {folder} cannot be made: {error.strerror}. Give one with --out."
                ) from error
            return folder
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file. Give the name of a folder.")
    if not training and any((out / file).exists() for file in TRAINING_FILES):
        what = "a comparison" if replaces else "an evaluation"
        raise InputError(
            f"The folder {out} holds a training run, which {what} does not replace. Give another "
            "--out."
        )
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise InputError(
            f"The folder {out} is not empty. Give another --out, or --overwrite to replace the "
            "run in it."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {out} cannot be made: {error.strerror}. Give another --out."
        ) from error
    if not os.access(out, os.W_OK):
        raise InputError(f"The folder {out} may not be written to. Give another --out.")
    if replaces:
        for known in replaces:
            (out / known).unlink(missing_ok=True)
        return out
    for folder in (out, *out.glob("fold-*")):
        files = [folder / file for file in (*TRAINING_FILES, *EVALUATION_FILES)]
        for file in [*files, *folder.glob("events.out.tfevents.*")]:
            file.unlink(missing_ok=True)
    return out
