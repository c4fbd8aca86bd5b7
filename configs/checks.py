"""What is wrong with a key or a value, and what may stand there instead."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from difflib import SequenceMatcher
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cliptide.configs.errors import ConfigError

_LIKE = 0.6  # how alike two names must be (0 to 1) to be mistaken for each other
_AS_LIKE_AS_BEST = 0.1


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Find the names that may have been meant, the likeliest first.

    A key is found by its last part too: `epochs` and `data.epochs` mean `train.epochs`.
    """
    tail = name.rpartition(".")[2]
    likeness = {
        other: max(_alike(name, other), _alike(tail, other.rpartition(".")[2])) for other in known
    }
    best = max(likeness.values(), default=0.0)
    near = [other for other in likeness if likeness[other] >= max(_LIKE, best - _AS_LIKE_AS_BEST)]
    return sorted(near, key=lambda other: -likeness[other])[:limit]


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()


def check_keys(
    values: Mapping[str, Any],
    *,
    sections: Mapping[str, Collection[str]],
    others: Collection[str],
    where: str,
) -> None:
    """Refuse a key that no run has.

    Args:
        values: What a config file holds.
        sections: The keys of each section.
        others: The keys that stand in no section.
        where: The file, for the message.

    Raises:
        ConfigError: A key is unknown, or a section is no list of keys.
    """
    full = [*others, *(f"{section}.{key}" for section, keys in sections.items() for key in keys)]
    for name, value in values.items():
        if name not in sections:
            _refuse_unknown(str(name), [*sections, *full], allowed=others, where=where)
            continue
        if not isinstance(value, Mapping):
            held = "is empty" if value is None else f"is {value!r}"
            example = f"{next(iter(sections[name]))}: ..."
            raise ConfigError(
                f"{where}: the section {name} {held}. Write its keys below it, indented, such as "
                f"{example!r}, or remove it."
            )
        for key in value:
            allowed = [f"{name}.{other}" for other in sections[name]]
            _refuse_unknown(f"{name}.{key}", full, allowed=allowed, where=where)


def _refuse_unknown(
    name: str, candidates: Collection[str], *, allowed: Collection[str], where: str
) -> None:
    if name in allowed:
        return
    near = nearest(name, candidates)
    mend = f"Nearest: {', '.join(near)}." if near else "cliptide train --print_config prints all."
    raise ConfigError(f"{where}: there is no key {name!r}. {mend}")


def allowed_values(hint: Any) -> str:
    """Say what fits a type: `a whole number`, `one of: lstm, gru`, `a whole number or auto`."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) is Literal:
        choices = [str(choice) for choice in get_args(hint)]
        return choices[0] if len(choices) == 1 else f"one of: {', '.join(choices)}"
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        return " or ".join(allowed_values(part) for part in parts)
    return f"a {getattr(hint, '__name__', hint)}"


_PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value may stand where a type is asked for; NaN and infinity are no numbers."""
    if get_origin(hint) is Literal:
        return any(value == choice for choice in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, part) for part in get_args(hint))
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral)
    if hint is float:
        return isinstance(value, Real) and math.isfinite(value)
    return isinstance(value, hint)


def check_types(config: Any, *, section: str = "") -> None:
    """Check the value of each field of a config dataclass against its type.

    Raises:
        ConfigError: A value does not fit.
    """
    prefix = f"{section}." if section else ""
    for field in fields(config):
        value = getattr(config, field.name)
        if not fits(value, field.type):
            raise ConfigError(
                f"{prefix}{field.name} is {value!r}. Use {allowed_values(field.type)}."
            )


def require(value: float | str | None, ok: bool, key: str, mend: str) -> None:
    """Refuse a value that is not `ok`.

    Raises:
        ConfigError: Names the key, the value and the mend.
    """
    if not ok:
        raise ConfigError(f"{key} is {value}. Use {mend}.")
