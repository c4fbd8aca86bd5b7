"""From words to values: flags, config files and recipes, and errors that name the mend.

jsonargparse turns the config's dataclasses into flags; what it says of a wrong one is put into
a line that names the value and what to use. Imports nothing heavy.
"""

import re
from argparse import SUPPRESS, Action
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from cliptide.app.training.config_file import read_config_values
from cliptide.configs.checks import allowed_values, nearest
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import SECTIONS, RunConfig


class HelpFormatter(DefaultHelpFormatter):
    """Help with defaults, but without type names, which say nothing that the rest does not."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        default = action.default
        if not action.option_strings or action.nargs == 0 or default in (None, SUPPRESS):
            return text
        return f"{text} (default: {str(default).lower() if isinstance(default, bool) else default})"

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        numbers: dict[Any, str] = {int: "N", float: "X", float | None: "X"}
        name = numbers.get(getattr(action, "_typehint", None) or action.type)
        return name or super()._get_default_metavar_for_optional(action)


class Parser(ArgumentParser):
    """A parser whose errors are one or two lines that name the value and the mend.

    Args:
        prog: What is typed before its arguments.
        usage: The short form of its command line.
        description: What the command does.
    """

    def __init__(self, *, prog: str, usage: str | None = None, description: str = "") -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            formatter_class=HelpFormatter,
            # A key that is almost right is refused with the right one, not guessed.
            allow_abbrev=False,
        )

    def add_run_config(self) -> None:
        """Add every key of `RunConfig` as a flag."""
        self.add_class_arguments(RunConfig)
        for action in self._actions:
            if action.dest in SECTIONS:
                # jsonargparse's --data FILE for a section alone: --config does that for all.
                action.help = SUPPRESS
                for option in action.option_strings:
                    del self._option_string_actions[option]
            if action.dest == "print_config":
                action.help = "Print the whole config that all the arguments make, and exit."

    def flags_last(self, words: Sequence[str]) -> list[str]:
        """Sort the words into those that are no flags, then flags with their values.

        Others that are torn apart by a flag (`predict MODEL a.mp4 --csv F b.mp4`) would be
        refused by argparse.
        """
        flags: list[str] = []
        others: list[str] = []
        left = list(words)
        while left:
            word = left.pop(0)
            if word == "--":  # all that follows is no flag
                return [*flags, word, *others, *left]
            if not word.startswith("--"):
                (flags if word == "-h" else others).append(word)
                continue
            flags.append(word)
            action = self._option_string_actions.get(word)
            if action is not None and action.nargs != 0 and left and not left[0].startswith("--"):
                flags.append(left.pop(0))
        return others + flags

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `ConfigError` in the place of printing usage.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(explain(message, self)) from ex


def explain(message: str, parser: ArgumentParser) -> str:
    """Turn the parser's message into one that names the value and the mend."""
    help_hint = f"See {parser.prog} --help."
    options = [option for option in parser._option_string_actions if option.startswith("--")]
    if match := re.search(r"unrecognized arguments: (.*)", message, re.DOTALL):
        return _explain_unknown(match[1].split(), options, help_hint)
    if match := re.match(r"Parser key \"?([\w.]+)\"?", message):
        key = match[1]
        values = re.findall(r"(?:Got|Given) value: (.*)", message)
        action = next((a for a in parser._actions if a.dest == key), None)
        hint = getattr(action, "_typehint", None) or getattr(action, "type", None)
        if values and hint is not None:
            return f"{key} is {values[-1]!r}. Use {allowed_values(hint)}. {help_hint}"
    if match := re.match(r"argument (--[\w.]+).*: expected (?:one|at least one) arg", message):
        return f"{match[1]} needs a value behind it. {help_hint}"
    if match := re.search(r"arguments are required: (.*)", message):
        return f"Missing: {match[1]}. {help_hint}"
    first = next((line for line in message.splitlines() if line.strip()), "Wrong arguments")
    return f"{first.strip().rstrip('.')}. {help_hint}"


def _explain_unknown(words: Sequence[str], options: Sequence[str], help_hint: str) -> str:
    flags = [word.partition("=")[0] for word in words if word.startswith("-")]
    if not flags:
        return f"{words[0]!r} is one argument too many. {help_hint}"
    name = flags[0].lstrip("-")
    keys = [option.removeprefix("--") for option in options]
    if name in SECTIONS and (within := [key for key in keys if key.startswith(f"{name}.")]):
        return f"--{name} alone sets nothing. Set one of its keys, such as --{within[0]}."
    near = nearest(name, keys)
    mend = f"Nearest: {', '.join(f'--{key}' for key in near)}." if near else help_hint
    return f"There is no flag {flags[0]!r}. {mend}"


def recipe_names() -> list[str]:
    """Names of the packaged recipes."""
    files = resources.files("cliptide.configs").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """The value that a flag is given among the words of a command line, the last one if twice."""
    _, values = _split_off(flag, words)
    return values[-1] if values else None


def configs_first(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Put the config files before all else, so that a flag wins wherever it stands.

    Args:
        words: The command line; behind `--config` stands a file or the name of a recipe.

    Returns:
        The command line with files alone behind `--config`, all checked; and what stands in
        those files, where a later one wins.

    Raises:
        ConfigError: A config is no file and no recipe, is no YAML, or has an unknown key.
    """
    rest, names = _split_off("--config", words)
    values: dict[str, Any] = {}
    first: list[str] = []
    for name in names:
        file = _config_file(name)
        if found := read_config_values(file):  # jsonargparse refuses an empty one
            first.append(f"--config={file}")
            values |= found
    return first + rest, values


def _split_off(flag: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words without a flag and its values, and those values."""
    rest: list[str] = []
    values: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == flag and left:
            values.append(left.pop(0))
        elif word.startswith(f"{flag}="):
            values.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, values


def _config_file(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    recipe = Path(str(resources.files("cliptide.configs") / f"{name}.yaml"))
    if name in recipe_names():
        return recipe
    near = nearest(name, recipe_names())
    mend = f"Nearest: {', '.join(near)}." if near else f"Recipes: {', '.join(recipe_names())}."
    raise ConfigError(f"--config {name!r} is neither a file nor a recipe. {mend}")
