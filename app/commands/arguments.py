"""What the arguments of several commands have in common."""

from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace

from cliptide.app.parsing import Parser, configs_first
from cliptide.configs.errors import ConfigError


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


TIMELINE_OPTIONS = {
    "nothing_below": "Score under which nothing happens in a timeline, 0 to 1; as fitted in "
    "training when left out.",
    "smooth_s": "Seconds that a timeline's scores are averaged over; by the model when left out.",
    "least_s": "Seconds that a segment lasts at least; by the model when left out.",
}


def add_timeline_arguments(parser: Parser) -> None:
    """Add how the segments of a timeline are made."""
    for name, text in TIMELINE_OPTIONS.items():
        parser.add_argument(f"--{name}", type=float | None, default=None, help=text)


def refuse_timeline_options(args: Namespace) -> None:
    """Refuse options of a timeline where none is asked for.

    Raises:
        ConfigError: Names the option.
    """
    for name in TIMELINE_OPTIONS:
        if getattr(args, name) is not None:
            raise ConfigError(
                f"--{name} is {getattr(args, name)}, but no timeline is asked for. Add --timeline."
            )


def add_data_argument(parser: Parser) -> None:
    """Add DATA, which may be left out where a config names it."""
    parser.add_argument(
        "DATA",
        nargs="?",
        default=None,
        type=str | None,
        help="Folder of videos or other samples, or a CSV that lists them; may stand in --config.",
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
