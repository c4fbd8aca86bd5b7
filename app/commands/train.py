"""`cliptide train`: from a data set to a model and a report."""

from dataclasses import asdict, fields
from pathlib import Path

from jsonargparse import Namespace

from cliptide.app.commands.arguments import (
    add_data_argument,
    configs_with_data,
    flat_keys,
    require_data,
)
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser, recipe_names, value_of
from cliptide.configs.errors import InputError
from cliptide.configs.schema import RunConfig


def _add_arguments(parser: Parser) -> None:
    add_data_argument(parser)
    parser.add_argument(
        "--config",
        action="config",
        help="YAML file, or the name of a recipe: " + ", ".join(recipe_names()) + ".",
    )
    parser.add_argument(
        "--out", type=str | None, default=None, help="Run folder; runs/<data>-<n> by default."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace an earlier run in --out.")
    parser.add_argument(
        "--resume",
        type=str | None,
        default=None,
        help="Run folder to go on with from its last whole epoch.",
    )
    parser.add_argument(
        "--init",
        type=str | None,
        default=None,
        help="Model file to fine-tune, also on other classes.",
    )
    parser.add_argument(
        "--folds",
        type=int | None,
        default=None,
        help="Cross-validate: train once for each of so many folds, groups kept whole; the number "
        "of official folds takes those. Ends with mean, standard deviation and pooled figures.",
    )
    parser.add_run_config()


def _prepare(parser: Parser, words: list[str]) -> list[str]:
    words, from_files = configs_with_data(parser, words)
    if value_of("--resume", words) or from_files.get("resume"):
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        free = ("--resume", "--device", "--help", "--print_config")
        others = [flag for flag in flags if flag not in free]
        if others:
            raise InputError(
                f"--resume goes on under the config of its run folder, so {others[0]} cannot be "
                "given. Leave it out, or start a new run."
            )
    init = value_of("--init", words) or from_files.get("init")
    if init:
        from cliptide.app.training.start import config_from_model

        # The network and the way of taking clips come from the model; config and flags still win.
        parser.set_defaults(flat_keys(asdict(config_from_model(Path(init)))))
    return words


def _run(parser: Parser, args: Namespace) -> int:
    values = parser.instantiate(args)
    config = RunConfig(**{field.name: values[field.name] for field in fields(RunConfig)})
    if args.DATA is not None:
        require_data(args.DATA)
    elif args.resume is None:
        raise InputError(
            "No DATA was given. Name a folder of samples or a manifest CSV: cliptide train DATA"
        )

    from cliptide.app.results import show_folds, show_training
    from cliptide.app.training.run import TrainingResult
    from cliptide.app.training.train import train

    options = {"config": config, "out": args.out, "init": args.init, "overwrite": args.overwrite}
    if args.resume is not None:
        device = None if args.device == "auto" else args.device
        result = train(args.DATA, resume=args.resume, device=device)
    elif args.folds is not None:
        result = train(args.DATA, folds=args.folds, **options)
    else:
        result = train(args.DATA, **options)
    if isinstance(result, TrainingResult):
        show_training(result)
    else:
        show_folds(result)
    return 0


COMMAND = Command(
    "Train on a folder of videos or the like, evaluate, and write model and report",
    "cliptide train DATA [--config F] [--out DIR] [--resume DIR] [--init MODEL] [--folds K] "
    "[--KEY VALUE]",
    _add_arguments,
    _run,
    _prepare,
)
