"""`cliptide predict`: the action in video files."""

from jsonargparse import Namespace

from cliptide.app.commands.arguments import add_running_arguments, path_or_none
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser


def _add_arguments(parser: Parser) -> None:
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
    add_running_arguments(parser)


def _run(parser: Parser, args: Namespace) -> int:
    from cliptide.app.predict import predict_sources

    return predict_sources(
        args.MODEL,
        args.SOURCE,
        json_to=args.json,
        csv_to=path_or_none(args.csv),
        clips=args.eval.clips,
        workers=args.data.workers,
        device=args.device,
        overwrite=args.overwrite,
    )


COMMAND = Command(
    "Recognise the action in video files",
    "cliptide predict MODEL SOURCE... [--json FILE|-] [--csv F]",
    _add_arguments,
    _run,
)
