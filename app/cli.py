"""The command line. Parsing imports nothing heavy; each command imports what it runs.

    cliptide COMMAND ...      0 done, 1 the run failed, 2 the user's input is wrong

Results go to stdout, progress and logs to stderr.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from cliptide.configs.errors import CliptideError, ConfigError, InputError
from cliptide.configs.schema import RunConfig

EXIT_INTERRUPTED = 130


class Parser(ArgumentParser):
    """A parser whose errors are one or two lines that name the value and the mend."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise an `InputError` in the place of printing usage."""
        raise ConfigError(explain(message, self)) from ex


def explain(message: str, parser: ArgumentParser) -> str:
    """Turn the parser's message into one that names the value and the mend."""
    help_hint = f"See {parser.prog} --help."
    options = [
        option.removeprefix("--")
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    ]
    unknown = None
    if "unrecognized arguments:" in message:
        words = message.split("unrecognized arguments:")[1].split()
        flags = [word for word in words if word.startswith("-")]
        if not flags:
            return f"{words[0]!r} is one argument too many. {help_hint}"
        unknown = flags[0].split("=")[0].lstrip("-")
    elif "does not accept option" in message:
        unknown = message.split("'")[-2]
    elif "Key" in message and "is not expected" in message:
        unknown = message.split("'")[1]
    if unknown is not None:
        near = get_close_matches(unknown, options, n=3, cutoff=0.5)
        if not near:  # the right key in the wrong section, or without one
            tails = {option.rpartition(".")[2]: option for option in options}
            near = [
                tails[tail] for tail in get_close_matches(unknown.rpartition(".")[2], tails, n=3)
            ]
        known = f"Nearest: {', '.join(near)}." if near else help_hint
        return f"There is no option or key {unknown!r}. {known}"
    if message.startswith("Parser key "):
        key, _, rest = message.removeprefix("Parser key ").partition(":")
        value = rest.rpartition("Given value: ")[2] or rest.rpartition("Got value: ")[2]
        value = value.strip().splitlines()[0] if value.strip() else ""
        action = next((a for a in parser._actions if a.dest == key.strip('"')), None)
        return f"{key.strip(chr(34))} is {value!r}. Use {_allowed(action)}. {help_hint}"
    first = message.strip().splitlines()[0] if message.strip() else "The arguments are wrong"
    if "the following arguments are required" in first:
        return f"Missing: {first.rpartition(': ')[2]}. {help_hint}"
    return f"{first.rstrip('.')}. {help_hint}"


def _allowed(action: Any) -> str:
    text = str(getattr(action, "_typehint", None) or getattr(action, "type", "another value"))
    names = {
        "<class 'int'>": "a whole number",
        "<class 'float'>": "a number",
        "<class 'bool'>": "true or false",
        "float | None": "a number",
    }
    if "Literal[" in text:
        inside = text.partition("Literal[")[2].partition("]")[0].replace("'", "")
        number = "a whole number or " if "int" in text.partition("Literal[")[0] else "one of: "
        return number + inside
    return names.get(text, f"a value of the type {text}")


@dataclass(frozen=True)
class Command:
    """A command: what it does in a few words, its arguments, and what runs it.

    Attributes:
        about: For the list of commands.
        usage: The short form of its command line.
        add_arguments: Puts its arguments into a parser.
        run: Takes the parser and the parsed arguments; returns the exit code.
    """

    about: str
    usage: str
    add_arguments: Callable[[Parser], None]
    run: Callable[[Parser, Namespace], int]


def _demo_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--out", type=str | None, default=None, help="Folder to write to; runs/demo-<n> by default."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier demo in --out."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Seed of the videos and of the training."
    )


def _demo(parser: Parser, args: Namespace) -> int:
    from cliptide.app.demo import run_demo

    run_demo(out=_path(args.out), overwrite=args.overwrite, seed=args.seed)
    return 0


def _train_arguments(parser: Parser) -> None:
    parser.add_argument(
        "DATA", nargs="?", default=None, type=str | None, help="Folder of videos, or manifest CSV."
    )
    parser.add_argument(
        "--config",
        action="config",
        help="YAML file, or the name of a recipe: " + ", ".join(recipe_names()) + ".",
    )
    parser.add_argument(
        "--out", type=str | None, default=None, help="Run folder; runs/<data>-<n> by default."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace an earlier run in --out.")
    parser.add_argument(
        "--resume",
        type=str | None,
        default=None,
        help="Run folder to go on with from its last whole epoch.",
    )
    parser.add_argument(
        "--init",
        type=str | None,
        default=None,
        help="Model file to fine-tune, also on other classes.",
    )
    parser.add_class_arguments(RunConfig)


def _train(parser: Parser, args: Namespace) -> int:
    from cliptide.app.results import show_training
    from cliptide.app.training.run import train

    if args.resume is not None:
        others = parser.get_defaults()
        changed = [
            key
            for key, value in args.items()
            if key not in ("DATA", "resume") and others.get(key) != value
        ]
        if changed:
            raise InputError(
                f"--resume goes on under the config of its run folder, so --{changed[0]} cannot be "
                "given. Leave it out, or start a new run."
            )
        result = train(args.DATA, resume=args.resume)
    else:
        config = parser.instantiate(args)
        values = {
            name: config[name] for name in ("data", "model", "train", "eval", "seed", "device")
        }
        result = train(
            args.DATA,
            config=RunConfig(**values),
            out=args.out,
            init=args.init,
            overwrite=args.overwrite,
        )
    show_training(result)
    return 0


def _evaluate_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument("DATA", help="Folder of videos, or manifest CSV.")
    parser.add_argument("--split", default="test", help="test, val, train, or all for every video.")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Folder to write to; runs/<data>-evaluate-<n> by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier evaluation in --out."
    )
    parser.add_argument(
        "--eval.clips",
        type=int | None,
        default=None,
        help="Clips a video; as in training by default.",
    )
    parser.add_argument(
        "--data.kind",
        type=str | None,
        default=None,
        help="Layout of DATA; as in training by default.",
    )
    parser.add_argument(
        "--data.fold",
        type=int | None,
        default=None,
        help="Official fold; as in training by default.",
    )
    parser.add_argument(
        "--data.group_regex",
        type=str | None,
        default=None,
        help="Finds the group; as in training by default.",
    )
    _add_running_arguments(parser)
    parser.add_argument(
        "--seed",
        type=int | None,
        default=None,
        help="Seed of a split to be made; as in training by default.",
    )


def _add_running_arguments(parser: Parser) -> None:
    from typing import Literal

    parser.add_argument(
        "--data.workers",
        type=int | Literal["auto"],
        default="auto",
        help="Processes that load clips, or auto.",
    )
    parser.add_argument(
        "--device", default="auto", help="Where to compute: auto, cpu, cuda, cuda:1 or mps."
    )


def _evaluate(parser: Parser, args: Namespace) -> int:
    from cliptide.app.evaluation.evaluate import evaluate
    from cliptide.app.results import show_evaluation

    evaluation = evaluate(
        args.MODEL,
        args.DATA,
        split=args.split,
        out=args.out,
        overwrite=args.overwrite,
        clips=args.eval.clips,
        workers=args.data.workers,
        kind=args.data.kind,
        fold=args.data.fold,
        group_regex=args.data.group_regex,
        seed=args.seed,
        device=args.device,
    )
    show_evaluation(evaluation)
    return 0


def _predict_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument("SOURCE", nargs="+", help="Video files, folders or globs.")
    parser.add_argument(
        "--json", type=str | None, default=None, help="Write JSON to a file, or to stdout with -."
    )
    parser.add_argument("--csv", type=str | None, default=None, help="Write CSV to a file.")
    parser.add_argument(
        "--eval.clips",
        type=int,
        default=3,
        help="Clips taken from each video; their scores are averaged.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace existing --json and --csv files."
    )
    _add_running_arguments(parser)


def _predict(parser: Parser, args: Namespace) -> int:
    from cliptide.app.predict import predict_sources

    return predict_sources(
        args.MODEL,
        args.SOURCE,
        json_to=args.json,
        csv_to=_path(args.csv),
        clips=args.eval.clips,
        workers=args.data.workers,
        device=args.device,
        overwrite=args.overwrite,
    )


COMMANDS = {
    "demo": Command(
        "Make videos, train on them, evaluate and predict: everything once, in minutes",
        "cliptide demo [--out DIR]",
        _demo_arguments,
        _demo,
    ),
    "train": Command(
        "Train on a folder of videos, evaluate, and write model and report",
        "cliptide train DATA [--config F] [--out DIR] [--resume DIR] [--init MODEL] [--KEY VALUE]",
        _train_arguments,
        _train,
    ),
    "evaluate": Command(
        "Score a model on a data set",
        "cliptide evaluate MODEL DATA [--split test] [--out DIR]",
        _evaluate_arguments,
        _evaluate,
    ),
    "predict": Command(
        "Recognise the action in video files",
        "cliptide predict MODEL SOURCE... [--json FILE|-] [--csv F]",
        _predict_arguments,
        _predict,
    ),
}


def recipe_names() -> list[str]:
    """Names of the packaged recipes."""
    files = resources.files("cliptide.configs").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "cliptide recognises actions in video.",
            "",
            "usage: cliptide COMMAND ...",
            "",
            *lines,
            "",
            "cliptide COMMAND --help tells more; --debug shows the traceback of an error;",
            "cliptide --version tells the version.",
        ]
    )


def _with_recipes(words: list[str]) -> list[str]:
    """Put the file in the place of a recipe's name behind --config."""
    words = list(words)
    for at, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag != "--config" or (not equals and at + 1 >= len(words)):
            continue
        name = value if equals else words[at + 1]
        if Path(name).is_file():
            continue
        recipe = resources.files("cliptide.configs") / f"{name}.yaml"
        if not recipe.is_file():
            near = get_close_matches(name, recipe_names(), n=3, cutoff=0.3)
            raise ConfigError(
                f"--config {name!r} is neither a file nor a recipe. "
                + (
                    f"Nearest: {', '.join(near)}."
                    if near
                    else f"Recipes: {', '.join(recipe_names())}."
                )
            )
        words[at if equals else at + 1] = f"--config={recipe}" if equals else str(recipe)
    return words


def _init_of(words: Sequence[str]) -> str | None:
    for at, word in enumerate(words):
        if word.startswith("--init="):
            return word.partition("=")[2]
        if word == "--init" and at + 1 < len(words):
            return words[at + 1]
    return None


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
        near = get_close_matches(name, COMMANDS, n=1) or list(COMMANDS)
        raise InputError(
            f"There is no command {name!r}. Use: {', '.join(near)}. See cliptide --help."
        )
    command = COMMANDS[name]
    parser = Parser(prog=f"cliptide {name}", usage=command.usage, description=command.about + ".")
    command.add_arguments(parser)
    if name == "train":
        rest = _with_recipes(rest)
        if (init := _init_of(rest)) is not None:
            from dataclasses import asdict

            from cliptide.app.training.run import config_from_model

            # The network and the way of taking clips come from the model; flags still win.
            parser.set_defaults(_flat(asdict(config_from_model(Path(init)))))
    args = parser.parse_args(rest)
    return command.run(parser, args)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


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
    try:
        return _dispatch(words)
    except CliptideError as error:
        if debug:
            traceback.print_exc()
        print(f"cliptide: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "cliptide: stopped. A training run goes on with: cliptide train --resume DIR",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout went away (head, less); nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = " ".join(str(error).split())
        print(
            f"cliptide: the run failed: {type(error).__name__}: {text}\n"
            "This should not happen. Run it again with --debug for the traceback, and report it.",
            file=sys.stderr,
        )
        return 1
