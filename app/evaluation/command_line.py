"""The command line that is running, as every page shows it."""

import shlex
import sys
from pathlib import Path


def repeat_command() -> str:
    """The command line that is running, to be typed again."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py" and program.parent.name == "app":
        return f"python -m cliptide.app {shlex.join(sys.argv[1:])}"
    if program.stem == "cliptide":
        return f"cliptide {shlex.join(sys.argv[1:])}"
    return "(called from Python)"
