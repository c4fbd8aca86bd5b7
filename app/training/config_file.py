"""config.yaml: everything that decides a run, data included."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from cliptide.configs.checks import check_keys
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import SECTIONS, RunConfig


def write_config_file(
    path: Path,
    *,
    data: Path,
    config: RunConfig,
    init: Path | None = None,
    folds: int | None = None,
    about: str = "Complete config of this run. Repeat it with",
) -> None:
    """Write the complete config; `cliptide train --config` reads it again.

    Args:
        path: The file; only a whole one replaces another.
        data: The data set.
        config: Every key.
        init: The model file that training starts from.
        folds: Of a run that trains each of so many folds.
        about: What the file is, for its first line.
    """
    values = {"DATA": data.resolve().as_posix(), **asdict(config)}
    if init is not None:
        values["init"] = init.resolve().as_posix()
    if folds is not None:
        values["folds"] = folds
    head = f"# {about}: cliptide train --config {path.name}\n"
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(head + text, encoding="utf-8")
    scratch.replace(path)


def read_config_file(path: Path) -> tuple[Path | None, RunConfig]:
    """Read what `write_config_file` wrote: the data set and the config.

    Raises:
        InputError: The file is missing.
        ConfigError: It is no YAML, or a key or value in it is wrong.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} is no run folder: it has no {path.name}. Check --resume.")
    values = read_config_values(path)
    known = {field.name for field in fields(RunConfig)}
    config = {
        key: SECTIONS[key](**value) if key in SECTIONS else value
        for key, value in values.items()
        if key in known
    }
    data = values.get("DATA")
    return Path(data) if data else None, RunConfig(**config)


def read_config_values(path: Path) -> dict[str, Any]:
    """Read a config file and check its keys; its values are checked where they are used.

    Raises:
        InputError: The file cannot be read, is no YAML, or has an unknown key.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not UTF-8 text"
        raise ConfigError(
            f"{path}{place} is no YAML: {problem}. Write a line 'section:' and below it, "
            "indented, its keys as 'key: value'."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Mend that first.") from error
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{path} holds {str(values)[:40]!r} and no keys. Write a line 'section:' and below "
            "it, indented, its keys as 'key: value'."
        )
    sections = {name: [field.name for field in fields(kind)] for name, kind in SECTIONS.items()}
    check_keys(
        values,
        sections=sections,
        # What --print_config prints, and config.yaml of a run holds.
        others=["DATA", "out", "overwrite", "resume", "init", "folds", "seed", "device"],
        where=str(path),
    )
    return dict(values)
