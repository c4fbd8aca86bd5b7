"""`cliptide predict`: the action in video files."""

from jsonargparse import Namespace

from cliptide.app.commands.arguments import add_running_arguments, path_or_none
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser
from cliptide.configs.errors import ConfigError


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument("SOURCE", nargs="+", help="Video files, folders or globs.")
    parser.add_argument(
        "--json", type=str | None, default=None, help="Write JSON to a file, or to stdout with -."
    )
    parser.add_argument("--csv", type=str | None, default=None, help="Write CSV to a file.")
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="Find out what happens when, in videos of any length.",
    )
    parser.add_argument(
        "--srt",
        type=str | None,
        default=None,
        help="Write the timeline as subtitles to a file; for several videos, into a folder.",
    )
    parser.add_argument(
        "--video",
        type=str | None,
        default=None,
        help="Write an MP4 with the timeline drawn in, likewise.",
    )
    parser.add_argument(
        "--nothing_below",
        type=float | None,
        default=None,
        help="Score under which nothing happens in a timeline, 0 to 1; as fitted in training by "
        "default.",
    )
    parser.add_argument(
        "--smooth_s",
        type=float | None,
        default=None,
        help="Seconds that a timeline's scores are averaged over; by the model when left out.",
    )
    parser.add_argument(
        "--least_s",
        type=float | None,
        default=None,
        help="Seconds that a segment lasts at least; by the model when left out.",
    )
    parser.add_argument(
        "--eval.clips",
        type=int | None,
        default=None,
        help="Clips a video, their scores averaged; as in training by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace output files that are there."
    )
    add_running_arguments(parser)


def _run(parser: Parser, args: Namespace) -> int:
    if args.timeline or args.srt or args.video:
        return _run_timelines(args)
    _refuse_timeline_options(args)
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


def _run_timelines(args: Namespace) -> int:
    if args.eval.clips is not None:
        raise ConfigError(
            f"--eval.clips is {args.eval.clips}, but a timeline looks at the whole video. Leave it "
            "out, or leave --timeline, --srt and --video out."
        )
    from cliptide.app.timelines import SegmentOptions, TimelineOutputs, predict_timelines

    return predict_timelines(
        args.MODEL,
        args.SOURCE,
        outputs=TimelineOutputs(
            json=args.json,
            csv=path_or_none(args.csv),
            srt=path_or_none(args.srt),
            video=path_or_none(args.video),
        ),
        options=SegmentOptions(args.nothing_below, args.smooth_s, args.least_s),
        device=args.device,
        overwrite=args.overwrite,
    )


def _refuse_timeline_options(args: Namespace) -> None:
    for name in ("nothing_below", "smooth_s", "least_s"):
        if getattr(args, name) is not None:
            raise ConfigError(
                f"--{name} is {getattr(args, name)}, but no timeline is asked for. Add --timeline."
            )


COMMAND = Command(
    "Recognise the action in video files",
    "cliptide predict MODEL SOURCE... [--json FILE|-] [--csv F] [--timeline] [--srt F] [--video F]",
    _add_arguments,
    _run,
)
