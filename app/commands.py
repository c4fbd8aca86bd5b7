"""What each command takes, and what it runs. Imports what it runs only then."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace

from cliptide.app.parsing import Parser, configs_first, recipe_names, value_of
from cliptide.configs.errors import InputError
from cliptide.configs.schema import DataConfig, RunConfig


@dataclass(frozen=True)
class Command:
    """A command: what it does in a few words, its arguments, and what runs it.

    Attributes:
        about: For the list of commands.
        usage: The short form of its command line.
        add_arguments: Puts its arguments into a parser.
        run: Takes the parser and the parsed arguments; returns the exit code.
        prepare: Puts the words in order before they are parsed.
        details: What more its help says.
    """

    about: str
    usage: str
    add_arguments: Callable[[Parser], None]
    run: Callable[[Parser, Namespace], int]
    prepare: Callable[[Parser, list[str]], list[str]] = Parser.flags_last
    details: str = ""


def _demo_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--out", type=str | None, default=None, help="Folder to write to; runs/demo-<n> by default."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier demo in --out."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Seed of the videos and of the training."
    )


def _demo(parser: Parser, args: Namespace) -> int:
    from cliptide.app.demo import run_demo

    run_demo(out=_path(args.out), overwrite=args.overwrite, seed=args.seed)
    return 0


def _train_arguments(parser: Parser) -> None:
    parser.add_argument(
        "DATA",
        nargs="?",
        default=None,
        type=str | None,
        help="Folder of videos, or manifest CSV; may stand in --config.",
    )
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


def _prepare_train(parser: Parser, words: list[str]) -> list[str]:
    words = parser.flags_last(words)
    names_data = bool(words) and not words[0].startswith("-")
    words, from_files = configs_first(words)
    if value_of("--resume", words) or from_files.get("resume"):
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        free = ("--resume", "--device", "--help", "--print_config")
        others = [flag for flag in flags if flag not in free]
        if others:
            raise InputError(
                f"--resume goes on under the config of its run folder, so {others[0]} cannot be "
                "given. Leave it out, or start a new run."
            )
    if from_files.get("DATA") and not names_data:
        # argparse would put its own default over that of a file.
        after_configs = sum(word.startswith("--config=") for word in words)
        words.insert(after_configs, str(from_files["DATA"]))
    init = value_of("--init", words) or from_files.get("init")
    if init:
        from cliptide.app.training.start import config_from_model

        # The network and the way of taking clips come from the model; config and flags still win.
        parser.set_defaults(_flat(asdict(config_from_model(Path(init)))))
    return words


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _train(parser: Parser, args: Namespace) -> int:
    values = parser.instantiate(args)
    config = RunConfig(**{field.name: values[field.name] for field in fields(RunConfig)})
    if args.DATA is not None:
        _require_data(args.DATA)
    elif args.resume is None:
        raise InputError(
            "No DATA was given. Name a folder of videos or a manifest CSV: cliptide train DATA"
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


def _tune_arguments(parser: Parser) -> None:
    parser.add_argument(
        "DATA",
        nargs="?",
        default=None,
        type=str | None,
        help="Folder of videos, or manifest CSV; may stand in --config.",
    )
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


def _prepare_tune(parser: Parser, words: list[str]) -> list[str]:
    words = parser.flags_last(words)
    names_data = bool(words) and not words[0].startswith("-")
    words, from_files = configs_first(words)
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
    if from_files.get("DATA") and not names_data:
        after_configs = sum(word.startswith("--config=") for word in words)
        words.insert(after_configs, str(from_files["DATA"]))
    return words


def _tune(parser: Parser, args: Namespace) -> int:
    values = parser.instantiate(args)
    config = RunConfig(**{field.name: values[field.name] for field in fields(RunConfig)})
    if args.DATA is None:
        raise InputError(
            "No DATA was given. Name a folder of videos or a manifest CSV: cliptide tune DATA"
        )
    _require_data(args.DATA)

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


def _require_data(data: str) -> None:
    """Say at once that DATA is not there: the rest takes seconds to import."""
    from cliptide.datasets.catalog import read_catalog

    if not Path(data).exists():
        read_catalog(data)  # raises, with the nearest name


def _evaluate_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument("DATA", help="Folder of videos, or manifest CSV.")
    parser.add_argument(
        "--split", default="test", help="test, val, train, or all for every video of DATA."
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Folder to write to; runs/<data>-evaluate-<n> by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier evaluation in --out."
    )
    parser.add_argument(
        "--eval.clips",
        type=int | None,
        default=None,
        help="Clips a video; as in training by default.",
    )
    parser.add_argument(
        "--data.kind",
        type=str | None,
        default=None,
        help="Layout of DATA (auto, folder, ucf101, manifest); as in training by default.",
    )
    parser.add_argument(
        "--data.fold",
        type=int | None,
        default=None,
        help="Official fold; as in training by default.",
    )
    parser.add_argument(
        "--data.group_regex",
        type=str | None,
        default=None,
        help="Regular expression that finds the group; as in training by default.",
    )
    _add_running_arguments(parser)
    parser.add_argument(
        "--seed",
        type=int | None,
        default=None,
        help="Seed of a split to be made; as in training by default.",
    )


def _add_running_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--data.workers",
        type=int | Literal["auto"],
        default="auto",
        help="Processes that load clips, or auto.",
    )
    parser.add_argument(
        "--device", default="auto", help="Where to compute: auto, cpu, cuda, cuda:1 or mps."
    )


def _evaluate(parser: Parser, args: Namespace) -> int:
    _require_data(args.DATA)
    from cliptide.app.evaluation.evaluate import evaluate
    from cliptide.app.results import show_evaluation

    evaluation = evaluate(
        args.MODEL,
        args.DATA,
        split=args.split,
        out=args.out,
        overwrite=args.overwrite,
        clips=args.eval.clips,
        workers=args.data.workers,
        kind=args.data.kind,
        fold=args.data.fold,
        group_regex=args.data.group_regex,
        seed=args.seed,
        device=args.device,
    )
    show_evaluation(evaluation)
    return 0


def _predict_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument("SOURCE", nargs="+", help="Video files, folders or globs.")
    parser.add_argument(
        "--json", type=str | None, default=None, help="Write JSON to a file, or to stdout with -."
    )
    parser.add_argument("--csv", type=str | None, default=None, help="Write CSV to a file.")
    parser.add_argument(
        "--eval.clips",
        type=int | None,
        default=None,
        help="Clips a video, their scores averaged; as in training by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace --json and --csv files that are there."
    )
    _add_running_arguments(parser)


def _predict(parser: Parser, args: Namespace) -> int:
    from cliptide.app.predict import predict_sources

    return predict_sources(
        args.MODEL,
        args.SOURCE,
        json_to=args.json,
        csv_to=_path(args.csv),
        clips=args.eval.clips,
        workers=args.data.workers,
        device=args.device,
        overwrite=args.overwrite,
    )


def _check_arguments(parser: Parser) -> None:
    parser.add_argument("DATA", help="Folder of videos, or manifest CSV.")
    parser.add_argument(
        "--csv", type=str, default="check.csv", help="File to write a row for each clip to."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace a --csv that is there.")
    parser.add_argument(
        "--config",
        type=str | None,
        default=None,
        help="Config or recipe to take data.* and seed from, so that the split is that of train.",
    )
    data, run = DataConfig(), RunConfig()
    for key, kind, default, about in (
        ("data.kind", str, data.kind, "Layout of DATA on disk."),
        ("data.folds", int, data.folds, "Deal all clips into so many folds; 0: the data's split."),
        ("data.fold", int, data.fold, "The fold to test on, of data.folds or official ones."),
        ("data.group_regex", str | None, None, "Regular expression that finds the group."),
        ("data.task", str, data.task, "What labels mean: auto, single, multi or regression."),
        ("data.val_share", float, data.val_share, "Share of the training clips for validation."),
        ("data.test_share", float, data.test_share, "Share of the clips for testing."),
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


def _prepare_check(parser: Parser, words: list[str]) -> list[str]:
    words, from_files = configs_first(parser.flags_last(words))
    # Of a whole run's config, what decides the split.
    known = {action.dest for action in parser._actions}
    values = _flat({key: value for key, value in from_files.items() if key in ("data", "seed")})
    parser.set_defaults({key: value for key, value in values.items() if key in known})
    words = [word for word in words if not word.startswith("--config=")]
    if from_files.get("DATA") and not (words and not words[0].startswith("-")):
        words.insert(0, str(from_files["DATA"]))
    return words


def _check(parser: Parser, args: Namespace) -> int:
    _require_data(args.DATA)
    from cliptide.app.check import check

    config = RunConfig(
        data=DataConfig(
            kind=args.data.kind,
            folds=args.data.folds,
            fold=args.data.fold,
            group_regex=args.data.group_regex,
            task=args.data.task,
            val_share=args.data.val_share,
            test_share=args.data.test_share,
        ),
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


COMMANDS = {
    "demo": Command(
        "Make videos, train on them, evaluate and predict: everything once, in minutes",
        "cliptide demo [--out DIR]",
        _demo_arguments,
        _demo,
    ),
    "train": Command(
        "Train on a folder of videos, evaluate, and write model and report",
        "cliptide train DATA [--config F] [--out DIR] [--resume DIR] [--init MODEL] [--folds K] "
        "[--KEY VALUE]",
        _train_arguments,
        _train,
        _prepare_train,
    ),
    "tune": Command(
        "Search for the config that is best on the validation clips",
        "cliptide tune DATA [--trials N] [--space FILE] [--folds K] [--study URL] [--KEY VALUE]",
        _tune_arguments,
        _tune,
        _prepare_tune,
        "The first trial is the config itself; the test split is never read. The same command "
        "again goes on with a search that was broken off.",
    ),
    "evaluate": Command(
        "Score a model on a data set",
        "cliptide evaluate MODEL DATA [--split test] [--out DIR]",
        _evaluate_arguments,
        _evaluate,
    ),
    "predict": Command(
        "Recognise the action in video files",
        "cliptide predict MODEL SOURCE... [--json FILE|-] [--csv F]",
        _predict_arguments,
        _predict,
    ),
    "check": Command(
        "Read every video: what is broken, doubled or leaks between splits",
        "cliptide check DATA [--csv FILE] [--config F] [--KEY VALUE]",
        _check_arguments,
        _check,
        _prepare_check,
        "Exit code 1: a clip is unreadable (training would leave it out), the same pictures stand "
        "in two splits, or a group is torn between splits. Files cut short or damaged of which "
        "every frame left can be read, copies within a split, and clips of two splits that look "
        "alike are warnings.",
    ),
}


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
