"""`cliptide serve`: models behind HTTP, WebSocket and a web page."""

import os
from typing import Literal

from jsonargparse import Namespace

from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser

KEY_VARIABLE = "CLIPTIDE_API_KEY"


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "MODEL", nargs="+", help="Model files, or NAME=FILE; the first is the default."
    )
    parser.add_argument("--host", type=str, default="127.0.0.1", help="Address to listen at.")
    parser.add_argument("--port", type=int, default=8000, help="Port; 0 takes a free one.")
    parser.add_argument(
        "--key",
        type=str | None,
        default=None,
        help=f"API key that requests must carry; better set {KEY_VARIABLE}, which no list of "
        "processes shows.",
    )
    parser.add_argument(
        "--allow_url",
        type=str,
        action="append",
        default=[],
        help="Beginning of the addresses that videos may be fetched from; may be given again.",
    )
    parser.add_argument(
        "--queue", type=int, default=64, help="Requests in work or waiting; more are refused."
    )
    parser.add_argument(
        "--workers",
        type=int | Literal["auto"],
        default="auto",
        help="Processes that decode, or auto for one a core.",
    )
    parser.add_argument(
        "--device", default="auto", help="Where to compute: auto, cpu, cuda, cuda:1 or mps."
    )
    parser.add_argument("--max_upload_mb", type=float, default=200.0, help="Size of an upload.")
    parser.add_argument(
        "--max_duration_s", type=float, default=3600.0, help="Length of a video, seconds."
    )
    parser.add_argument(
        "--max_pixels", type=int, default=8_294_400, help="Width times height of a video."
    )
    parser.add_argument(
        "--max_time_s",
        type=float,
        default=120.0,
        help="Seconds for reading and scoring a video, and as long for sending it.",
    )
    parser.add_argument(
        "--max_memory_mb",
        type=int,
        default=2048,
        help="Memory of a process that decodes; enforced by Linux alone.",
    )
    parser.add_argument(
        "--max_silence_s",
        type=float,
        default=30.0,
        help="Seconds that a client may send nothing while it uploads or streams.",
    )
    parser.add_argument(
        "--max_streams", type=int, default=16, help="WebSocket connections at a time."
    )
    parser.add_argument(
        "--grace_s",
        type=float,
        default=30.0,
        help="Seconds that requests have to finish in when the server is stopped.",
    )
    parser.add_argument(
        "--access_log", type=bool, default=True, help="Write a line for each request to stderr."
    )


def _run(parser: Parser, args: Namespace) -> int:
    from cliptide.app.serving.limits import Limits
    from cliptide.app.serving.server import ServerOptions, serve

    options = ServerOptions(
        host=args.host,
        port=args.port,
        key=args.key if args.key is not None else os.environ.get(KEY_VARIABLE),
        allowed_urls=tuple(args.allow_url),
        workers=None if args.workers == "auto" else args.workers,
        device=args.device,
        grace_s=args.grace_s,
        access_log=args.access_log,
        limits=Limits(
            upload_mb=args.max_upload_mb,
            duration_s=args.max_duration_s,
            pixels=args.max_pixels,
            time_s=args.max_time_s,
            memory_mb=args.max_memory_mb,
            silence_s=args.max_silence_s,
            queue=args.queue,
            streams=args.max_streams,
        ),
    )
    serve(args.MODEL, options)
    return 0


COMMAND = Command(
    "Serve models by HTTP and WebSocket, with a web page",
    "cliptide serve MODEL [MODEL...] [--host H] [--port N] [--key KEY]",
    _add_arguments,
    _run,
    details="Listens on this machine alone unless --host says otherwise.",
)
