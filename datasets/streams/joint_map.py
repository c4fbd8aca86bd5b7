"""Which columns of an array are joints: from a YAML file, or built in.

joints: [hip, left_knee, right_knee]     in the order of the columns
axes: 2                                  numbers a joint has: x, y, or x, y and one more
mirror: [[left_knee, right_knee]]        may be left out
bones: [[hip, left_knee], [hip, right_knee]]      parent, child; may be left out

Joints are named and not numbered, so that a map can be read and a slip in it be told.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cliptide.configs.checks import nearest
from cliptide.configs.errors import ConfigError
from cliptide.configs.streams import JointMap

_SIDES = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# Keypoints and skeleton of COCO (Lin et al. 2014, "Microsoft COCO"), which most pose estimators
# write. Its face is joined outwards from the nose.
_COCO17 = ("nose", *(f"{side}_{part}" for part in _SIDES for side in ("left", "right")))
_COCO17_BONES = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
)
BUILT_IN = ("coco17",)
_KEYS = ("joints", "axes", "mirror", "bones")


def coco17(*, axes: int = 2) -> JointMap:
    """The 17 keypoints of COCO, with x and y, or (axes 3) with a confidence behind them."""
    places = {name: place for place, name in enumerate(_COCO17)}
    return JointMap(
        names=_COCO17,
        axes=axes,
        pairs=tuple((places[f"left_{part}"], places[f"right_{part}"]) for part in _SIDES),
        bones=tuple((places[parent], places[child]) for parent, child in _COCO17_BONES),
    )


def read_joint_map(path: str | Path, *, num_values: int | None = None) -> JointMap:
    """Read a joint map.

    Args:
        path: A YAML file, see above, or the name of a built-in map: coco17.
        num_values: F of the arrays, where it is known: coco17 takes 3 axes where it is 51.

    Raises:
        ConfigError: The file cannot be read, or a value in it is wrong.
    """
    if str(path) in BUILT_IN:
        return coco17(axes=3 if num_values == 3 * len(_COCO17) else 2)
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"The joint map {path} is not there. Correct the path, or use a built-in one: "
            f"{', '.join(BUILT_IN)}."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        cause = " ".join(str(error).split())
        raise ConfigError(f"The joint map {path} is no YAML: {cause}. Correct it there.") from None
    if not isinstance(values, dict):
        held = "is empty" if values is None else f"holds {_shown(values)}, not keys"
        raise ConfigError(
            f"The joint map {path} {held}. Write joints: [...], axes: 2, "
            "and mirror and bones where there are any."
        )
    where = f"The joint map {path}"
    for key in values:
        if key not in _KEYS:
            near = nearest(str(key), _KEYS) or _KEYS
            raise ConfigError(f"{where} has an unknown key {key!r}. Nearest: {', '.join(near)}.")
    names = _names(values.get("joints"), where)
    axes = values.get("axes")
    if axes not in (2, 3) or not isinstance(axes, int):
        raise ConfigError(f"{where}: axes is {_shown(axes)}. Use 2 (x, y) or 3.")
    pairs = _pairs(values.get("mirror"), names, f"{where}, mirror", "[left, right]")
    mirrored = [place for pair in pairs for place in pair]
    for place in mirrored:
        if mirrored.count(place) > 1:
            raise ConfigError(
                f"{where}, mirror: {names[place]!r} is in several pairs. Put it in one."
            )
    bones = _pairs(values.get("bones"), names, f"{where}, bones", "[parent, child]")
    return JointMap(names, axes, pairs, bones)


def _names(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not values:
        raise ConfigError(
            f"{where}: joints is {_shown(values)}. Write the names of the joints in the order of "
            "the columns: joints: [hip, left_knee, right_knee]."
        )
    for name in values:
        if not isinstance(name, str):
            raise ConfigError(f"{where}, joints: {_shown(name)} is no text. Write it in quotes.")
        if values.count(name) > 1:
            raise ConfigError(f"{where}, joints: {name!r} is there twice. Name each joint once.")
    return tuple(values)


def _pairs(values: Any, names: Sequence[str], where: str, form: str) -> tuple[tuple[int, int], ...]:
    """Pairs of names as pairs of places."""
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ConfigError(f"{where} is {_shown(values)}. Write a list of pairs: [{form}, ...].")
    found = []
    for pair in values:
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise ConfigError(f"{where}: {_shown(pair)} is no pair. Write two joints: {form}.")
        for name in pair:
            if name not in names:
                near = nearest(str(name), names) or names
                raise ConfigError(
                    f"{where}: {_shown(name)} is no joint. Nearest: {', '.join(near[:3])}."
                )
        found.append((names.index(pair[0]), names.index(pair[1])))
    return tuple(found)


def _shown(value: Any) -> str:
    """A value of the file as an error quotes it."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
