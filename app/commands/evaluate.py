"""`cliptide evaluate`: a model's score on a data set."""

from jsonargparse import Namespace

from cliptide.app.commands.arguments import (
    add_running_arguments,
    add_timeline_arguments,
    path_or_none,
    refuse_timeline_options,
    require_data,
)
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser
from cliptide.configs.errors import ConfigError


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument(
        "DATA",
        help="Folder of videos or other samples, or a CSV that lists them; with --timeline "
        "annotations: a CSV with path,start_s,end_s,label, or samples with a CSV beside each.",
    )
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="Judge what the model finds along long videos or sounds against annotated segments.",
    )
    parser.add_argument(
        "--split", default="test", help="test, val, train, or all for every sample of DATA."
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
        help="Clips a sample; as in training by default.",
    )
    parser.add_argument(
        "--eval.probes",
        type=bool,
        default=True,
        help="Whether to try the samples with frames shuffled, reversed and one alone, and the "
        "baselines of the model file.",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="A class of DATA and the model's name for it; may be given several times.",
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
    add_timeline_arguments(parser)
    add_running_arguments(parser)
    parser.add_argument(
        "--seed",
        type=int | None,
        default=None,
        help="Seed of a split to be made; as in training by default.",
    )


def _run(parser: Parser, args: Namespace) -> int:
    if args.timeline:
        return _run_timeline(args)
    refuse_timeline_options(args)
    require_data(args.DATA)
    if args.data.workers:
        from cliptide.datasets.processes import start_worker_server

        start_worker_server()
    from cliptide.app.evaluation.evaluate import evaluate
    from cliptide.app.evaluation.reading import parse_renames
    from cliptide.app.results import show_evaluation

    evaluation = evaluate(
        args.MODEL,
        args.DATA,
        split=args.split,
        out=args.out,
        overwrite=args.overwrite,
        clips=args.eval.clips,
        probes=args.eval.probes,
        workers=args.data.workers,
        kind=args.data.kind,
        fold=args.data.fold,
        group_regex=args.data.group_regex,
        renames=parse_renames(args.map),
        seed=args.seed,
        device=args.device,
    )
    show_evaluation(evaluation)
    return 1 if all(row.failed for row in evaluation.predictions) else 0


def _run_timeline(args: Namespace) -> int:
    given = {"eval.clips": args.eval.clips, **{f"data.{k}": v for k, v in vars(args.data).items()}}
    for key, value in given.items():
        if value is not None and key != "data.workers":
            raise ConfigError(
                f"--{key} is {value}, but --timeline looks at whole samples. Leave one of them out."
            )
    from cliptide.app.evaluation.reading import parse_renames
    from cliptide.app.evaluation.timelines import evaluate_timelines
    from cliptide.app.results import show_timeline_evaluation

    evaluation = evaluate_timelines(
        args.MODEL,
        args.DATA,
        split=args.split,
        out=path_or_none(args.out),
        overwrite=args.overwrite,
        renames=parse_renames(args.map),
        nothing_below=args.nothing_below,
        smooth_s=args.smooth_s,
        least_s=args.least_s,
        seed=args.seed or 0,
        device=args.device,
    )
    show_timeline_evaluation(evaluation)
    return 1 if evaluation.failed else 0


COMMAND = Command(
    "Score a model on a data set",
    "cliptide evaluate MODEL DATA [--split test] [--out DIR]",
    _add_arguments,
    _run,
)
