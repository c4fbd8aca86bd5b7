"""The command line. Parsing imports nothing heavy; each command imports what it runs.

    cliptide COMMAND ...      0 done, 1 the run failed, 2 the user's input is wrong

Results go to stdout, progress and logs to stderr. The commands are in `commands`.
"""

import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence

from cliptide.app.allocator import keep_freed_memory
from cliptide.app.commands import COMMANDS
from cliptide.app.parsing import Parser
from cliptide.configs.checks import nearest
from cliptide.configs.errors import CliptideError, InputError

EXIT_INTERRUPTED = 130


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "cliptide recognises actions in video, and the class of sounds, texts and the like.",
            "",
            "usage: cliptide COMMAND ...",
            "",
            *lines,
            "",
            "cliptide COMMAND --help tells more; --debug shows the traceback of an error;",
            "cliptide --version tells the version.",
        ]
    )


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"cliptide {version('cliptide')}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise InputError(
            f"There is no command {name!r}. Use: {', '.join(nearest(name, COMMANDS) or COMMANDS)}. "
            "See cliptide --help."
        )
    command = COMMANDS[name]
    parser = Parser(
        prog=f"cliptide {name}",
        usage=command.usage,
        description=f"{command.about}. {command.details}".strip(),
    )
    command.add_arguments(parser)
    args = parser.parse_args(command.prepare(parser, rest))
    keep_freed_memory()
    return command.run(parser, args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The words behind `cliptide`; those of this process by default.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 the user's input is wrong.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is written with its escapes, not died of.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(words)
    except SystemExit as stop:  # how --help and --print_config end the parsing
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        # The reader of stdout went away (head, less); nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("cliptide: stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"cliptide: {_tell(error)}", file=sys.stderr)
        return error.exit_code if isinstance(error, CliptideError) else 1


def _tell(error: Exception) -> str:
    """What went wrong and the mend, in one or two lines."""
    if isinstance(error, CliptideError):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            f"the memory is not enough: {text}\n"
            "Use a smaller --train.batch_size, --data.frames or --data.size, or fewer --eval.clips."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS):
        return f"nothing more can be written: {text}. Make room, or write elsewhere."
    return (
        f"the run failed: {type(error).__name__}: {text}\n"
        "This should not happen. Run it again with --debug for the traceback, and report it."
    )
