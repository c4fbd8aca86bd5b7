"""`cliptide watch`: what a model sees now."""

from jsonargparse import Namespace

from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "MODEL", help="A model.safetensors from a run folder, or an exported model."
    )
    parser.add_argument(
        "SOURCE",
        help="The number of a webcam (0 is the first), a URL such as rtsp://..., or a file.",
    )
    parser.add_argument(
        "--json", action="store_true", help="Write a line of JSON for each frame taken."
    )
    parser.add_argument(
        "--on-change",
        type=str | None,
        default=None,
        metavar="CMD",
        help="Run a command when the label changes; it finds CLIPTIDE_LABEL, CLIPTIDE_SCORE and "
        "CLIPTIDE_TIME_S in its environment.",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="Play a file at its own speed, as a camera would give it.",
    )
    parser.add_argument(
        "--nothing_below",
        type=float | None,
        default=None,
        help="Score under which nothing is seen, 0 to 1; as fitted in training by default.",
    )
    parser.add_argument(
        "--reconnect_s",
        type=float,
        default=60.0,
        help="Seconds that a lost source is tried to be had again.",
    )
    parser.add_argument(
        "--stop_after_s", type=float | None, default=None, help="Stop after so many seconds."
    )
    parser.add_argument(
        "--device", default="auto", help="Where to compute: auto, cpu, cuda, cuda:1 or mps."
    )


def _run(parser: Parser, args: Namespace) -> int:
    from cliptide.app.watch import WatchOptions, watch_source

    return watch_source(
        args.MODEL,
        args.SOURCE,
        options=WatchOptions(
            as_json=args.json,
            on_change=args.on_change,
            realtime=args.realtime,
            nothing_below=args.nothing_below,
            reconnect_s=args.reconnect_s,
            stop_after_s=args.stop_after_s,
        ),
        device=args.device,
    )


COMMAND = Command(
    "Watch a webcam, a stream or a file live",
    "cliptide watch MODEL SOURCE [--json] [--on-change CMD]",
    _add_arguments,
    _run,
)
