"""The folder that a run writes into: found free, never overwritten unasked."""

import re
from pathlib import Path

from cliptide.configs.errors import InputError

# What a run writes; with --overwrite these go, and nothing else in the folder does.
RUN_FILES = (
    "config.yaml",
    "model.safetensors",
    "last.ckpt",
    "metrics.json",
    "predictions.csv",
    "report.html",
    "history.csv",
    "quarantine.csv",
)


def data_name(data: Path) -> str:
    """A short name of a data set, fit for a folder: `fight/videos.csv` -> `fight-videos`."""
    path = data.resolve()
    name = f"{path.parent.name}-{path.stem}" if path.is_file() else path.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"


def claim_run_folder(name: str, *, out: Path | None = None, overwrite: bool = False) -> Path:
    """Make the folder of a new run.

    Args:
        name: What the run is about; the default folder is `runs/<name>-<n>`, n counting up.
        out: Where to write instead.
        overwrite: Whether the files of an earlier run in `out` may be replaced.

    Raises:
        InputError: `out` is not empty, or cannot be made.
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
                    f"{folder} cannot be made ({error}). Give a folder with --out."
                ) from error
            return folder
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise InputError(
            f"The folder {out} is not empty. Give another --out, or --overwrite to replace the "
            "run in it."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {out} cannot be made ({error}). Give another --out."
        ) from error
    for file in [*(out / name for name in RUN_FILES), *out.glob("events.out.tfevents.*")]:
        file.unlink(missing_ok=True)
    return out
