"""Joint maps: names in YAML become places in a row, and slips are told with the nearest name."""

from pathlib import Path

import pytest

from cliptide.configs.errors import ConfigError
from cliptide.configs.streams import JointMap
from cliptide.datasets.streams.joint_map import coco17, read_joint_map

GOOD = """\
joints: [hip, left_knee, right_knee]
axes: 2
mirror: [[left_knee, right_knee]]
bones: [[hip, left_knee], [hip, right_knee]]
"""


def written(folder: Path, content: str) -> Path:
    path = folder / "map.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def test_names_become_places(tmp_path: Path) -> None:
    assert read_joint_map(written(tmp_path, GOOD)) == JointMap(
        names=("hip", "left_knee", "right_knee"),
        axes=2,
        pairs=((1, 2),),
        bones=((0, 1), (0, 2)),
    )


def test_mirror_and_bones_may_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "joints: [a, b]\naxes: 3\n")
    assert read_joint_map(path) == JointMap(("a", "b"), 3)


def test_coco17_is_built_in_with_and_without_confidence() -> None:
    joints = read_joint_map("coco17")
    assert (len(joints.names), joints.axes) == (17, 2)
    assert joints == read_joint_map("coco17", num_values=34) == coco17()
    assert read_joint_map("coco17", num_values=51) == coco17(axes=3)


def test_coco17_pairs_left_with_right_and_joins_all_joints() -> None:
    joints = coco17()
    assert joints.names[0] == "nose"
    for left, right in joints.pairs:
        assert joints.names[left].replace("left", "right") == joints.names[right]
    assert len(joints.pairs) == 8
    assert {place for bone in joints.bones for place in bone} == set(range(17))
    # Mirrored, the bones are the same bones.
    other = dict(joints.pairs) | {right: left for left, right in joints.pairs}
    swapped = {frozenset(other.get(place, place) for place in bone) for bone in joints.bones}
    assert swapped == {frozenset(bone) for bone in joints.bones}


@pytest.mark.parametrize(
    ("old", "new", "cause", "mend"),
    [
        ("[hip, left_knee]", "[hip, left_nee]", "bones: 'left_nee' is no joint", "Nearest: left_k"),
        ("[[left_knee,", "[[lft_knee,", "mirror: 'lft_knee' is no joint", "Nearest: left_knee"),
        ("[hip, left_knee]", "[hip, zzz]", "bones: 'zzz' is no joint", "Nearest: hip, left_knee"),
        ("[hip, left_knee],", "[hip],", "bones: ['hip'] is no pair", "[parent, child]"),
        ("[hip, left_knee],", "hip,", "bones: 'hip' is no pair", "[parent, child]"),
        ("[hip, left_knee],", "[hip, hip],", "bones: ['hip', 'hip'] is no pair", "two joints"),
        ("[[left_knee, right_knee]]", "left", "mirror is 'left'", "[[left, right], ...]"),
        (
            "[[left_knee, right_knee]]",
            "[[left_knee, right_knee], [hip, left_knee]]",
            "'left_knee' is in several pairs",
            "Put it in one.",
        ),
        ("axes: 2", "axes: 4", "axes is 4", "Use 2 (x, y) or 3."),
        ("axes: 2", "axes: 2.0", "axes is 2.0", "Use 2 (x, y) or 3."),
        ("axes: 2", "", "axes is missing", "Use 2 (x, y) or 3."),
        ("axes", "axis", "unknown key 'axis'", "Nearest: axes."),
        ("joints: [hip, left_knee, right_knee]", "", "joints is missing", "Write the names"),
        ("[hip, left_knee, right_knee]", "[]", "joints is []", "Write the names of the joints"),
        ("[hip, left_knee, right_knee]", "[hip, 3]", "joints: 3 is no text", "in quotes"),
        ("[hip, left_knee, right_knee]", "[hip, no]", "joints: False is no text", "in quotes"),
        ("[hip, left_knee, right_knee]", "[hip, hip]", "'hip' is there twice", "once"),
        (GOOD, "[1, 2]", "holds [1, 2], not keys", "Write joints: [...], axes: 2"),
        (GOOD, "", "is empty", "Write joints: [...], axes: 2"),
        ("[hip, left_knee, right_knee]", "[hip", "is no YAML", "Correct it there."),
    ],
)
def test_slips_name_the_file_the_value_and_the_mend(
    tmp_path: Path, old: str, new: str, cause: str, mend: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        read_joint_map(written(tmp_path, GOOD.replace(old, new)))
    message = str(caught.value)
    assert "map.yaml" in message
    assert cause in message
    assert mend in message
    assert "\n" not in message


def test_a_map_that_is_not_there_is_told_with_those_built_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"coco18 is not there.*a built-in one: coco17\."):
        read_joint_map("coco18")
    with pytest.raises(ConfigError, match="is no YAML"):
        read_joint_map(tmp_path)
