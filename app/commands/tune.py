"""`cliptide tune`: the search for a better config."""

from dataclasses import fields
from typing import Literal

from jsonargparse import Namespace

from cliptide.app.commands.arguments import add_data_argument, configs_with_data, require_data
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser
from cliptide.configs.errors import InputError
from cliptide.configs.schema import RunConfig


def _add_arguments(parser: Parser) -> None:
    add_data_argument(parser)
    parser.add_argument("--trials", type=int, default=20, help="Trials the study shall have.")
    parser.add_argument(
        "--space",
        type=str | None,
        default=None,
        help="YAML file of what is searched: lines such as 'model.hidden: [64, 128]' or 'train.lr: "
        "{low: 1e-4, high: 1e-2, log: true}'; a space around the config by default.",
    )
    parser.add_argument(
        "--folds",
        type=int | None,
        default=None,
        help="Judge each trial by the mean over so many folds of the training and validation "
        "clips, groups kept whole.",
    )
    parser.add_argument(
        "--sampler",
        type=Literal["random", "tpe"],
        default="random",
        help="random, or tpe, which learns from the trials before.",
    )
    parser.add_argument(
        "--prune",
        type=bool,
        default=True,
        help="End trials early that are worse than the median of the others at their epoch.",
    )
    parser.add_argument(
        "--study",
        type=str | None,
        default=None,
        help="Optuna storage URL that several processes or machines may share; study.db in --out "
        "by default.",
    )
    parser.add_argument(
        "--study_name", type=str, default="cliptide", help="Name of the study in its storage."
    )
    parser.add_argument(
        "--config",
        action="config",
        help="YAML file, or the name of a recipe: what the search starts from.",
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Folder to write to, or to go on in; runs/<data>-tune-<n> by default.",
    )
    parser.add_run_config()


def _prepare(parser: Parser, words: list[str]) -> list[str]:
    words, from_files = configs_with_data(parser, words)
    for key in ("resume", "init"):
        if from_files.get(key):
            raise InputError(
                f"--config sets {key}, which belongs to cliptide train. Take that line out."
            )
    if folds := from_files.get("folds"):
        raise InputError(
            f"--config sets folds {folds}: those of cliptide train, each with a test split. Take "
            f"that line out; --folds {folds} judges each trial by folds without the test split."
        )
    return words


def _run(parser: Parser, args: Namespace) -> int:
    values = parser.instantiate(args)
    config = RunConfig(**{field.name: values[field.name] for field in fields(RunConfig)})
    if args.DATA is None:
        raise InputError(
            "No DATA was given. Name a folder of samples or a manifest CSV: cliptide tune DATA"
        )
    require_data(args.DATA)

    from cliptide.app.results import show_tuning
    from cliptide.app.tuning.tune import tune

    result = tune(
        args.DATA,
        trials=args.trials,
        config=config,
        space=args.space,
        folds=args.folds,
        study=args.study,
        study_name=args.study_name,
        sampler=args.sampler,
        prune=args.prune,
        out=args.out,
    )
    show_tuning(result)
    return 0


COMMAND = Command(
    "Search for the config that is best on the validation samples",
    "cliptide tune DATA [--trials N] [--space FILE] [--folds K] [--study URL] [--KEY VALUE]",
    _add_arguments,
    _run,
    _prepare,
    "The first trial is the config itself; the test split is never read. The same command "
    "again goes on with a search that was broken off.",
)
