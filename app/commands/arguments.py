"""What the arguments of several commands have in common."""

from pathlib import Path
from typing import Any, Literal

from cliptide.app.parsing import Parser


def add_running_arguments(parser: Parser) -> None:
    """Add what commands that run a model take."""
    parser.add_argument(
        "--data.workers",
        type=int | Literal["auto"],
        default="auto",
        help="Processes that load clips, or auto.",
    )
    parser.add_argument(
        "--device", default="auto", help="Where to compute: auto, cpu, cuda, cuda:1 or mps."
    )


def require_data(data: str) -> None:
    """Say at once that DATA is not there: the rest takes seconds to import."""
    from cliptide.datasets.catalog import read_catalog

    if not Path(data).exists():
        read_catalog(data)  # raises, with the nearest name


def flat_keys(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested sections under whole keys, such as `model.hidden`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        whole = prefix + key
        flat |= flat_keys(value, f"{whole}.") if isinstance(value, dict) else {whole: value}
    return flat


def path_or_none(text: str | None) -> Path | None:
    """The path of an option that may have been left out."""
    return None if text is None else Path(text)
