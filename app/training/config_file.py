"""config.yaml: everything that decides a run, data included."""

from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import SECTIONS, RunConfig


def write_config_file(path: Path, *, data: Path, config: RunConfig) -> None:
    """Write the complete config; `cliptide train --config` reads it again."""
    values = {"DATA": data.resolve().as_posix(), **asdict(config)}
    head = "# Complete config of this run. Repeat it with: cliptide train --config config.yaml\n"
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    path.write_text(head + text, encoding="utf-8")


def read_config_file(path: Path) -> tuple[Path | None, RunConfig]:
    """Read what `write_config_file` wrote: the data set and the config.

    Raises:
        InputError: The file is missing.
        ConfigError: It is no YAML, or a key or value in it is wrong.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} is no run folder: it has no {path.name}. Check --resume.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML ({error}). Correct it or train anew.") from error
    data = values.pop("DATA", None)
    sections: dict[str, Any] = {}
    for key, value in values.items():
        try:
            sections[key] = SECTIONS[key](**value) if key in SECTIONS else value
        except TypeError as error:
            known = list(SECTIONS[key].__dataclass_fields__)
            near = [n for k in value if k not in known for n in get_close_matches(k, known, n=2)]
            raise ConfigError(
                f"{path} has a wrong key in {key} ({error}). Nearest: {', '.join(near) or 'none'}."
            ) from error
    return Path(data) if data else None, RunConfig(**sections)
