"""What samples of each kind are called, and what their length and moments are told in."""

import pytest

from cliptide.app.inference.nouns import Nouns
from cliptide.configs.streams import StepsConfig, Streams


def of(*names: str, samples: str, **steps: str) -> Nouns:
    streams = Streams(names=names, samples=samples, steps=StepsConfig(**steps))  # type: ignore[arg-type]
    return Nouns.of_streams(streams)


@pytest.mark.parametrize(
    ("nouns", "sample", "step", "unit"),
    [
        (of("rgb", samples="video"), "video", "frame", "s"),
        (of("rgb", "audio", samples="video"), "video", "frame", "s"),
        (of("audio", samples="video"), "video", "step", "s"),
        (of("rgb", samples="frames"), "video", "frame", "s"),
        (of("audio", samples="audio"), "sound", "step", "s"),
        (of("arrays", samples="arrays"), "sequence", "step", "s"),
        (of("text", samples="text"), "text", "step", "token"),
        (of("rgb", samples="images"), "image", "step", ""),
        (of("rows", samples="images", image="rows"), "image", "step", "row"),
        (of("rgb", samples="images", image="patches"), "image", "step", "patch"),
    ],
)
def test_every_kind_has_its_words(nouns: Nouns, sample: str, step: str, unit: str) -> None:
    assert (nouns.sample, nouns.step, nouns.unit) == (sample, step, unit)


def test_runs_of_before_there_were_other_kinds_are_of_videos() -> None:
    assert Nouns.of_metrics({}) == Nouns("video", "frame", "s")


def test_metrics_keep_the_words() -> None:
    nouns = Nouns("text", "step", "token")
    assert Nouns.of_metrics({"nouns": nouns.to_dict()}) == nouns


def test_samples_are_counted() -> None:
    assert [Nouns("sound").counted(count) for count in (0, 1, 2)] == [
        "0 sounds",
        "1 sound",
        "2 sounds",
    ]
    assert (Nouns("image").one, Nouns("video").one) == ("an image", "a video")


@pytest.mark.parametrize(
    ("unit", "length", "moment", "span", "part", "units"),
    [
        ("s", "2.4 s", "2.4 s", "0.0 to 2.4 s", " s", "seconds"),
        ("token", "2 tokens", "token 2", "tokens 0 to 2", " tokens", "tokens"),
        ("patch", "2 patches", "patch 2", "patches 0 to 2", " patches", "patches"),
        ("", "", "", "", "", ""),
    ],
)
def test_seconds_are_told_of_what_has_seconds_alone(
    unit: str, length: str, moment: str, span: str, part: str, units: str
) -> None:
    nouns = Nouns("text", "step", unit)
    assert (nouns.length(2.4), nouns.moment(2.4), nouns.span(0, 2.4)) == (length, moment, span)
    assert (nouns.slice_unit, nouns.units) == (part, units)


def test_one_token_is_no_span() -> None:
    nouns = Nouns("text", "step", "token")
    assert (nouns.length(1), nouns.span(3, 3)) == ("1 token", "token 3")
