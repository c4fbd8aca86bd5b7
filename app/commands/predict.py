"""`cliptide predict`: the action in video files."""

from jsonargparse import Namespace

from cliptide.app.commands.arguments import (
    add_running_arguments,
    add_timeline_arguments,
    path_or_none,
    refuse_timeline_options,
)
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser
from cliptide.configs.errors import ConfigError


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument(
        "SOURCE", nargs="+", help="Files of what the model was trained on, folders or globs."
    )
    parser.add_argument(
        "--json", type=str | None, default=None, help="Write JSON to a file, or to stdout with -."
    )
    parser.add_argument("--csv", type=str | None, default=None, help="Write CSV to a file.")
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="Find out what happens when, in videos or sounds of any length.",
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
    add_timeline_arguments(parser)
    parser.add_argument(
        "--eval.clips",
        type=int | None,
        default=None,
        help="Clips a sample, their scores averaged; as in training by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace output files that are there."
    )
    add_running_arguments(parser)


def _run(parser: Parser, args: Namespace) -> int:
    if args.timeline or args.srt or args.video:
        return _run_timelines(args)
    refuse_timeline_options(args)
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
            f"--eval.clips is {args.eval.clips}, but a timeline looks at the whole sample. Leave "
            "it out, or leave --timeline, --srt and --video out."
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


COMMAND = Command(
    "Recognise the action in videos, or the class of sounds, texts and the like",
    "cliptide predict MODEL SOURCE... [--json FILE|-] [--csv F] [--timeline] [--srt F] [--video F]",
    _add_arguments,
    _run,
)
