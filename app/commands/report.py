"""`cliptide report`: a run's page built again from its files, without the model."""

from pathlib import Path

from jsonargparse import Namespace

from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser
from cliptide.configs.errors import InputError


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("RUN", help="Folder of a training, a cross-validation or an evaluation.")


def _run(parser: Parser, args: Namespace) -> int:
    folder = Path(args.RUN)
    if not folder.is_dir():
        hint = f" Give its folder, {folder.parent}." if folder.is_file() else " Check the path."
        raise InputError(f"{folder} is no run folder.{hint}")
    if not (folder / "metrics.json").is_file():
        raise InputError(
            f"{folder} has no metrics.json: nothing was evaluated there. Give the folder of a "
            "finished run."
        )
    from cliptide.app.evaluation.report.folder import rebuild_page
    from cliptide.app.inference.terminal import warn

    alarm = rebuild_page(folder)
    if alarm:
        warn(f"Warning: {alarm}")
    print(f"report: {folder / 'report.html'}")
    return 0


COMMAND = Command(
    "Build a run's report.html again from its files, without the model",
    "cliptide report RUN",
    _add_arguments,
    _run,
)
