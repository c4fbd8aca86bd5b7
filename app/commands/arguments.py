"""What the arguments of several commands have in common."""

from pathlib import Path
from typing import Any, Literal

from cliptide.app.parsing import Parser, configs_first


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


def add_data_argument(parser: Parser) -> None:
    """Add DATA, which may be left out where a config names it."""
    parser.add_argument(
        "DATA",
        nargs="?",
        default=None,
        type=str | None,
        help="Folder of videos, or manifest CSV; may stand in --config.",
    )


def configs_with_data(parser: Parser, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Put configs first, and the DATA that they name behind them where none is given.

    Returns:
        The words, and what the files say.
    """
    words = parser.flags_last(words)
    names_data = bool(words) and not words[0].startswith("-")
    words, from_files = configs_first(words)
    if from_files.get("DATA") and not names_data:
        # argparse would put its own default over that of a file.
        after_configs = sum(word.startswith("--config=") for word in words)
        words.insert(after_configs, str(from_files["DATA"]))
    return words, from_files


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
