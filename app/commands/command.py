"""What a command is."""

from collections.abc import Callable
from dataclasses import dataclass

from jsonargparse import Namespace

from cliptide.app.parsing import Parser


@dataclass(frozen=True)
class Command:
    """A command: what it does in a few words, its arguments, and what runs it.

    Attributes:
        about: For the list of commands.
        usage: The short form of its command line.
        add_arguments: Puts its arguments into a parser.
        run: Takes the parser and the parsed arguments; returns the exit code.
        prepare: Puts the words in order before they are parsed.
        details: What more its help says.
    """

    about: str
    usage: str
    add_arguments: Callable[[Parser], None]
    run: Callable[[Parser, Namespace], int]
    prepare: Callable[[Parser, list[str]], list[str]] = Parser.flags_last
    details: str = ""
