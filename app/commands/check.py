"""`cliptide check`: what is wrong with a data set."""

from pathlib import Path
from typing import Literal

from jsonargparse import Namespace

from cliptide.app.commands.arguments import flat_keys, require_data
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser, configs_first
from cliptide.configs.schema import DataConfig, RunConfig
from cliptide.configs.streams import StepsConfig


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("DATA", help="Folder of videos or other samples, or a CSV that lists them.")
    parser.add_argument(
        "--csv", type=str, default="check.csv", help="File to write a row for each sample to."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace a --csv that is there.")
    parser.add_argument(
        "--config",
        type=str | None,
        default=None,
        help="Config or recipe to take data.*, steps.* and seed from, so that all is as in train.",
    )
    data, run, steps = DataConfig(), RunConfig(), StepsConfig()
    for key, kind, default, about in (
        ("data.kind", str, data.kind, "Layout of DATA on disk, or what a sample is; see train."),
        ("data.streams", str, data.streams, "Streams that each sample should have; see train."),
        (
            "data.folds",
            int,
            data.folds,
            "Deal all samples into so many folds; 0: the data's split.",
        ),
        ("data.fold", int, data.fold, "The fold to test on, of data.folds or official ones."),
        ("data.group_regex", str | None, None, "Regular expression that finds the group."),
        ("data.task", str, data.task, "What labels mean: auto, single, multi or regression."),
        ("data.val_share", float, data.val_share, "Share of the training samples for validation."),
        ("data.test_share", float, data.test_share, "Share of the samples for testing."),
        ("steps.row_rate", float, steps.row_rate, "Rows a second of arrays without time_s."),
        ("steps.image_rate", float, steps.image_rate, "Images a second in folders of images."),
        ("seed", int, run.seed, "Seed of a split to be made."),
    ):
        parser.add_argument(f"--{key}", type=kind, default=default, help=about)
    parser.add_argument(
        "--workers",
        type=int | Literal["auto"],
        default="auto",
        help="Processes that read, or auto for one a processor core.",
    )
    parser.add_argument(
        "--time_limit_s",
        type=float,
        default=300.0,
        help="Seconds that one file may take; one that takes longer counts as unreadable.",
    )
    parser.add_argument(
        "--memory_limit_mb",
        type=int,
        default=2048,
        help="Memory that one file may take; enforced on Linux alone.",
    )


def _prepare(parser: Parser, words: list[str]) -> list[str]:
    words, from_files = configs_first(parser.flags_last(words))
    # Of a whole run's config, what decides the split and how long samples are.
    known = {action.dest for action in parser._actions}
    sections = ("data", "steps", "seed")
    values = flat_keys({key: value for key, value in from_files.items() if key in sections})
    parser.set_defaults({key: value for key, value in values.items() if key in known})
    words = [word for word in words if not word.startswith("--config=")]
    if from_files.get("DATA") and not (words and not words[0].startswith("-")):
        words.insert(0, str(from_files["DATA"]))
    return words


def _run(parser: Parser, args: Namespace) -> int:
    require_data(args.DATA)
    from cliptide.app.check import check

    config = RunConfig(
        data=DataConfig(
            kind=args.data.kind,
            streams=args.data.streams,
            folds=args.data.folds,
            fold=args.data.fold,
            group_regex=args.data.group_regex,
            task=args.data.task,
            val_share=args.data.val_share,
            test_share=args.data.test_share,
        ),
        steps=StepsConfig(row_rate=args.steps.row_rate, image_rate=args.steps.image_rate),
        seed=args.seed,
    )
    return check(
        Path(args.DATA),
        config=config,
        csv_to=Path(args.csv),
        overwrite=args.overwrite,
        workers=args.workers,
        time_limit_s=args.time_limit_s,
        memory_limit_mb=args.memory_limit_mb,
    )


COMMAND = Command(
    "Read every sample: what is broken, doubled or leaks between splits",
    "cliptide check DATA [--csv FILE] [--config F] [--KEY VALUE]",
    _add_arguments,
    _run,
    _prepare,
    "Exit code 1: a sample is unreadable (training would leave it out), the same content stands "
    "in two splits, or a group is torn between splits. Files cut short or damaged of which "
    "every frame left can be read, copies within a split, videos of two splits that look "
    "alike, and samples that lack a stream of data.streams are warnings.",
)
