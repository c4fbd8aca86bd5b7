"""`cliptide demo`: everything once, on generated videos."""

from jsonargparse import Namespace

from cliptide.app.commands.arguments import path_or_none
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--out", type=str | None, default=None, help="Folder to write to; runs/demo-<n> by default."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier demo in --out."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Seed of the videos and of the training."
    )


def _run(parser: Parser, args: Namespace) -> int:
    from cliptide.app.demo import run_demo

    run_demo(out=path_or_none(args.out), overwrite=args.overwrite, seed=args.seed)
    return 0


COMMAND = Command(
    "Make videos, train on them, evaluate and predict: everything once, in minutes",
    "cliptide demo [--out DIR]",
    _add_arguments,
    _run,
)
