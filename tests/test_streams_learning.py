"""What is learnt of the training samples before anything is trained."""

from pathlib import Path

import numpy as np
import pytest

from cliptide.configs.errors import ConfigError, DataError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import StepsConfig, Streams
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.arrays import ArrayStream
from cliptide.datasets.streams.learning import statistics_of, stream_names
from cliptide.models.build import build_recognizer


def write(path: Path, rows: object) -> SampleRecord:
    np.save(path, np.array(rows, dtype=np.float32))
    return SampleRecord(path, path.name, label="a", group="g")


def arrays(num_values: int) -> ArrayStream:
    return ArrayStream(
        window=1, hop=1, num_values=num_values, row_rate=30.0, joints=None, flip=False
    )


def test_means_and_spreads_are_those_of_all_rows_that_are_there(tmp_path: Path) -> None:
    records = [
        write(tmp_path / "a.npy", [[1, 10, 3e-7], [3, np.nan, 1e-7]]),
        write(tmp_path / "b.npy", [[5, 30, 2e-7]]),
    ]
    *_, found = statistics_of(arrays(3), records)
    assert found is not None
    assert found.centre == pytest.approx([3, 20, 2e-7])
    assert found.spread == pytest.approx([np.std([1, 3, 5]), 10, np.std([1e-7, 2e-7, 3e-7])])


def test_a_column_that_never_changes_is_not_stretched(tmp_path: Path) -> None:
    *_, found = statistics_of(arrays(1), [write(tmp_path / "a.npy", [[7], [7]])])
    assert found is not None and found.spread.tolist() == [1.0]


def test_a_stream_that_no_sample_has_is_refused_with_the_first_cause(tmp_path: Path) -> None:
    gone = SampleRecord(tmp_path / "gone.npy", "gone.npy", label="a", group="g")
    with pytest.raises(DataError, match=r"None of 1 training sample has.*arrays.*gone\.npy"):
        list(statistics_of(arrays(2), [gone]))


@pytest.mark.parametrize(
    ("asked", "samples", "image", "names"),
    [
        ((), "video", "whole", ("rgb",)),
        ((), "images", "rows", ("rows",)),
        ((), "images", "patches", ("rgb",)),
        ((), "text", "whole", ("text",)),
        (("rgb", "audio"), "video", "whole", ("rgb", "audio")),
    ],
)
def test_what_is_read_follows_from_the_samples(asked, samples, image, names) -> None:  # type: ignore[no-untyped-def]
    assert stream_names(asked, samples, steps=StepsConfig(image=image)) == names


def test_sound_of_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"asks for audio.*images.*rgb, rows"):
        stream_names(("rgb", "audio"), "images", steps=StepsConfig())


@pytest.mark.parametrize(
    ("keys", "names", "says"),
    [
        ({"encoder": "resnet18"}, ("audio",), r"model\.encoder is resnet18.*step_dim"),
        ({"width": 2.0}, ("audio",), r"model\.width is 2\.0.*step_dim.*Leave model\.width out"),
        ({"pool": "mean"}, ("text",), r"model\.pool is mean.*step_dim.*Leave model\.pool out"),
        ({"norm": "group"}, ("audio",), r"model\.norm is group.*step_dim.*Leave model\.norm out"),
        (
            {"motion": "features"},
            ("rgb", "audio"),
            r"model\.motion is features, which is for one stream alone.*Set model\.motion none",
        ),
        (
            {"motion": "both"},
            ("rgb", "audio"),
            r"model\.motion is both, which is for pictures alone.*Set model\.motion none",
        ),
        ({"freeze": True}, ("rgb", "audio"), r"model\.freeze is true.*Set model\.freeze false"),
        (
            {"fusion": "late", "head_norm": "batch"},
            ("rgb", "audio"),
            r"head_norm is batch.*head_norm layer",
        ),
    ],
)
def test_keys_of_the_network_that_do_not_fit_the_streams_are_refused(keys, names, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=says):
        build_recognizer(
            ModelConfig(**keys), num_classes=2, size=(16, 16), streams=Streams(names=names)
        )


@pytest.mark.parametrize("names", [("rgb",), ("rgb", "audio")])
def test_a_joint_map_without_arrays_is_refused(names) -> None:  # type: ignore[no-untyped-def]
    streams = Streams(names=names, steps=StepsConfig(joints="coco17"))
    with pytest.raises(ConfigError, match=r"steps\.joints is coco17.*Leave steps\.joints out"):
        build_recognizer(ModelConfig(), num_classes=2, size=(16, 16), streams=streams)
