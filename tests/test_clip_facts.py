"""clips.csv, and what a clip looks like in numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliptide.app.evaluation.clip_facts import (
    CONDITIONS,
    ClipFacts,
    read_clip_facts,
    write_clip_facts,
)
from cliptide.configs.errors import DataError
from cliptide.datasets.looks import looks_of


def test_facts_are_read_back_as_they_were_written(tmp_path):
    facts = [
        ClipFacts("a, b.mp4", 1.25, 320, 240, 0.5, 0.0625, dict.fromkeys(CONDITIONS, "x|y")),
        ClipFacts("ü\n.mp4", 0.04, 2, 2, 0.0, 0.0, dict.fromkeys(CONDITIONS, "")),
    ]
    write_clip_facts(tmp_path / "clips.csv", facts)
    assert read_clip_facts(tmp_path / "clips.csv") == facts


def test_conditions_that_were_not_tried_have_no_column(tmp_path):
    facts = [ClipFacts("a", 1.0, 4, 4, 0.5, 0.5, {"shuffled": "x"})]
    write_clip_facts(tmp_path / "clips.csv", facts)
    assert (tmp_path / "clips.csv").read_text().splitlines()[0].endswith("motion,shuffled")
    assert read_clip_facts(tmp_path / "clips.csv") == facts


def test_streams_that_a_clip_lacks_are_read_back(tmp_path):
    rgb, audio, flow = (
        {f"without_{name}": "x", f"only_{name}": ""} for name in ("rgb", "audio", "flow")
    )
    facts = [
        ClipFacts("a", 1.0, 4, 4, 0.5, 0.5, {"shuffled": "x", **rgb, **flow}, 0.25, ("audio",)),
        ClipFacts("b", 1.0, None, None, None, None, {"shuffled": "x"}, 0.0, ("flow", "rgb")),
        ClipFacts("c", 1.0, 4, 4, 0.5, 0.5, {"shuffled": "x", **rgb, **flow, **audio}, 0.0),
    ]
    write_clip_facts(tmp_path / "clips.csv", facts)
    assert read_clip_facts(tmp_path / "clips.csv") == facts
    head, first, second, _ = (tmp_path / "clips.csv").read_text().splitlines()
    assert head.endswith(
        "motion,order_change,missing,shuffled,without_rgb,only_rgb,without_flow,only_flow,"
        "without_audio,only_audio"
    )
    assert first.endswith(",audio,x,x,,x,,,")
    assert second.endswith(",flow|rgb,x,,,,,,")


def test_answers_that_older_files_give_for_streams_that_a_clip_lacks_are_passed_over(tmp_path):
    (tmp_path / "clips.csv").write_text(
        "video,duration_s,width,height,brightness,motion,missing,"
        "without_rgb,only_rgb,without_audio,only_audio\n"
        "a,1,4,4,0.5,0.5,audio,x,x,x,x\n"
        "b,1,4,4,0.5,0.5,,x,y,y,x\n"
    )
    silent, whole = read_clip_facts(tmp_path / "clips.csv")
    assert silent.answers == {}
    assert whole.answers == {
        "without_rgb": "x",
        "only_rgb": "y",
        "without_audio": "y",
        "only_audio": "x",
    }


def test_no_clip_at_all_is_a_header_alone(tmp_path):
    write_clip_facts(tmp_path / "clips.csv", [])
    assert read_clip_facts(tmp_path / "clips.csv") == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "starts with the columns ''"),
        ("video,duration_s\n", "starts with the columns"),
        ("video,duration_s,width,height,brightness,motion,sideways\n", "any of shuffled"),
        (
            "video,duration_s,width,height,brightness,motion\na,long,1,1,0,0\n",
            "record 2 is damaged",
        ),
        ("video,duration_s,width,height,brightness,motion\na,1,1\n", "record 2 is damaged"),
    ],
)
def test_a_damaged_file_is_named_with_the_mend(tmp_path, text, part):
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(DataError, match="Evaluate again") as refusal:
        read_clip_facts(tmp_path / "clips.csv")
    assert part in str(refusal.value)


@given(grey=st.integers(0, 255))
def test_a_grey_clip_is_as_bright_as_its_grey_and_does_not_move(grey):
    looks = looks_of(np.full((3, 8, 8, 3), grey, dtype=np.uint8), width=16, height=8)
    assert looks.brightness == pytest.approx(grey / 255, abs=1e-4)
    assert looks.motion == pytest.approx(0, abs=1e-6)
    assert (looks.width, looks.height) == (16, 8)


def test_flicker_from_black_to_white_is_all_the_motion_there_is():
    frames = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    frames[1::2] = 255
    assert looks_of(frames, width=8, height=8).motion == pytest.approx(1, abs=1e-4)
    assert looks_of(frames[:1], width=8, height=8).motion == 0
