"""Rows of numbers as steps: windows, times, parts, augmentation, drawings; the synthetic sets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cliptide.configs.errors import ConfigError, DataError, SampleError
from cliptide.configs.streams import JointMap, Streams
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.array_files import read_array
from cliptide.datasets.streams.arrays import ArrayStream, array_path, columns_of, mirrored
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.joint_map import coco17
from cliptide.datasets.synthetic_arrays import (
    ORDERS,
    POSES,
    write_sensor_dataset,
    write_skeleton_dataset,
)

NAN = float("nan")
# A nose between two hands.
FIGURE = JointMap(("nose", "left", "right"), 2, pairs=((1, 2),), bones=((0, 1), (0, 2)))
Steps = NDArray[np.float32]


def stream_of(num_values: int = 2, **changes: Any) -> ArrayStream:
    options: dict[str, Any] = {
        "window": 3,
        "hop": 2,
        "num_values": num_values,
        "row_rate": 10.0,
        "joints": None,
        "flip": True,
    }
    return ArrayStream(**(options | changes))


def record_of(source: Path, **changes: Any) -> SampleRecord:
    return replace(SampleRecord(source, source.name, "a", "g"), **changes)


def saved(folder: Path, count: int, name: str = "a.npy") -> Path:
    """Rows [0, 0], [1, -1], [2, -2], ..."""
    path = folder / name
    np.save(path, np.arange(count, dtype=np.float32)[:, None] * [1, -1])
    return path


def skeletons(seed: int = 0, *, missing: float = 0.1) -> Steps:
    """(4, 3, 6) steps of FIGURE, some joints missing."""
    rng = np.random.default_rng(seed)
    points = rng.normal(100, 20, (4, 3, 3, 2))
    points[rng.random((4, 3, 3)) < missing] = NAN
    return points.reshape(4, 3, 6).astype(np.float32)


class TestReading:
    def test_steps_are_windows_of_rows_at_the_times_of_their_middles(self, tmp_path: Path) -> None:
        with stream_of().open(record_of(saved(tmp_path, 6))) as track:
            steps = track.steps([0, 1, 2])
            assert track.pts_s.tolist() == pytest.approx([0.1, 0.3, 0.4])
            assert track.duration_s == pytest.approx(0.6)
        assert steps.dtype == np.float32
        assert steps[:, :, 0].tolist() == [[0, 1, 2], [2, 3, 4], [3, 4, 5]]
        assert steps[:, :, 1].tolist() == [[0, -1, -2], [-2, -3, -4], [-3, -4, -5]]

    def test_what_lies_before_and_behind_the_rows_is_missing(self, tmp_path: Path) -> None:
        with stream_of().open(record_of(saved(tmp_path, 2))) as track:
            np.testing.assert_array_equal(track.steps([0])[0, :, 0], [0, 1, NAN])
            np.testing.assert_array_equal(track.around(np.array([0.0]))[0, :, 0], [NAN, 0, 1])

    def test_times_of_the_file_go_before_the_rate(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("time_s,x,y\n0.5,1,2\n0.75,3,4\n1.5,5,6\n")
        with stream_of(window=1, hop=1).open(record_of(path)) as track:
            assert track.pts_s.tolist() == [0.5, 0.75, 1.5]
            assert track.duration_s == pytest.approx(1.5)  # the last row lasts a mean gap

    def test_a_single_row_lasts_one_row(self, tmp_path: Path) -> None:
        with stream_of().open(record_of(saved(tmp_path, 1))) as track:
            assert track.pts_s.tolist() == [0]
            assert track.duration_s == pytest.approx(0.1)

    def test_a_part_holds_the_rows_from_start_up_to_but_without_end(self, tmp_path: Path) -> None:
        record = record_of(saved(tmp_path, 10), start_s=0.1 + 0.2, end_s=0.6)
        rows = stream_of().read(record)
        assert rows.rows[:, 0].tolist() == [3, 4, 5]
        assert rows.times_s.tolist() == pytest.approx([0.3, 0.4, 0.5])
        assert rows.duration_s == pytest.approx(0.3)
        assert len(stream_of().read(replace(record, start_s=0.0, end_s=99.0)).rows) == 10

    @pytest.mark.parametrize(("start_s", "end_s"), [(1.0, None), (0.31, 0.39), (5.0, 6.0)])
    def test_a_part_without_rows_is_refused(
        self, tmp_path: Path, start_s: float, end_s: float | None
    ) -> None:
        record = record_of(saved(tmp_path, 10), start_s=start_s, end_s=end_s)
        with pytest.raises(SampleError, match=rf"a\.npy has no row from {start_s:g} s") as caught:
            stream_of().read(record)
        assert "its rows are from 0.00 s to 0.90 s. Correct start_s and" in str(caught.value)

    def test_kept_rows_give_the_same_steps(self, tmp_path: Path) -> None:
        stream = stream_of()
        with stream.open(record_of(saved(tmp_path, 7))) as track:
            times_s, rows = stream.content(track)
            again = stream.from_content(times_s, rows, track.duration_s)
            assert rows.shape[1:] == stream.row_shape
            np.testing.assert_array_equal(again.steps([0, 2]), track.steps([0, 2]))

    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
    def test_beside_a_video_the_array_of_the_same_stem_is_read(
        self, tmp_path: Path, suffix: str
    ) -> None:
        beside = tmp_path / f"v_run.1{suffix}"
        beside.touch()
        assert array_path(tmp_path / "v_run.1.mp4") == beside
        assert array_path(tmp_path / "other.CSV") == tmp_path / "other.CSV"

    def test_a_video_without_an_array_beside_it_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SampleError, match=r"v\.mp4 has no array.*Put v\.npy \(or \.npz, "):
            stream_of().read(record_of(tmp_path / "v.mp4"))

    def test_rows_of_another_width_are_refused_with_both_numbers(self, tmp_path: Path) -> None:
        path = saved(tmp_path, 4)
        with pytest.raises(SampleError, match=r"has 2 numbers .* others have 5\. Give all files"):
            stream_of(5).read(record_of(path))

    def test_a_joint_map_of_another_width_is_refused_with_both_numbers(self) -> None:
        with pytest.raises(ConfigError, match="17 joints of 2 axes, 34 numbers, but rows have 51"):
            stream_of(51, joints=coco17())
        with pytest.raises(ConfigError, match=r"Correct its joints or axes, or leave steps\.join"):
            stream_of(51, joints=coco17())
        assert stream_of(51, joints=coco17(axes=3)).row_shape == (51,)


def written(folder: Path, header: str, *rows: str) -> SampleRecord:
    path = folder / f"{len(list(folder.iterdir()))}.csv"
    path.write_text("\n".join([header, *rows]))
    return record_of(path)


class TestColumns:
    def of_widths(self, folder: Path, *widths: int) -> list[SampleRecord]:
        for number, width in enumerate(widths):
            np.save(folder / f"{number:03d}.npy", np.zeros((4, width)))
        return [record_of(path) for path in sorted(folder.glob("*.npy"))]

    def test_are_those_of_most_files_that_can_be_read(self, tmp_path: Path) -> None:
        records = self.of_widths(tmp_path, 3, 2, 2, 2)
        (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
        assert columns_of([record_of(tmp_path / "broken.npy"), *records]) == (2, ())

    def test_none_that_can_be_read_is_told_with_the_first_cause(self, tmp_path: Path) -> None:
        missing = record_of(tmp_path / "gone.npy")
        with pytest.raises(DataError, match=r"No array could be read.*gone\.npy is not there"):
            columns_of([missing])
        with pytest.raises(DataError, match="There are no samples"):
            columns_of([])

    def test_the_files_that_tell_lie_among_all(self, tmp_path: Path) -> None:
        """The first class alone is not what most files are."""
        records = self.of_widths(tmp_path, *[3] * 22, *[2] * 66)
        assert columns_of(records) == (2, ())
        for record in records[30:]:
            record.source.write_bytes(b"")
        assert columns_of(records[20:]) == (2, ()), "others stand in for what cannot be read"

    def test_where_files_do_not_agree_both_kinds_are_named(self, tmp_path: Path) -> None:
        records = self.of_widths(tmp_path, *[3] * 30, *[2] * 60)
        with pytest.raises(DataError) as caught:
            columns_of(records)
        message = str(caught.value)
        assert "Of 20 arrays that were looked at, 14 have 2 numbers in a row (" in message
        assert ".npy), but 6 have 3 (" in message
        assert "000.npy). Give all of them the same columns" in message

    def test_names_are_those_of_most_files_in_the_order_of_the_first(self, tmp_path: Path) -> None:
        headers = ["y,x", "x,y", "x,y", "time_s,a,b"]
        records = [written(tmp_path, header, "1,2,3"[: len(header)]) for header in headers]
        np.save(tmp_path / "z.npy", np.zeros((4, 2)))
        assert columns_of([*records, record_of(tmp_path / "z.npy")]) == (2, ("y", "x"))
        other = written(tmp_path, "p,q", "1,2")
        with pytest.raises(DataError, match=r"3 have x, y as columns \(.*0\.csv\), but 1 have "):
            columns_of([*records, other])

    def test_columns_in_another_order_are_brought_into_that_of_training(
        self, tmp_path: Path
    ) -> None:
        described = Streams(names=("arrays",), num_values=2, columns=("x", "y"))
        (stream,) = build_streams(described, size=(8, 8))
        for record in (
            written(tmp_path, "x,y", "1,2", "3,4"),
            written(tmp_path, "y,Time_S,x", "2,0,1", "4,1,3"),
            written(tmp_path, "1,2", "3,4"),  # without names, columns go by their places
        ):
            with stream.open(record) as track:
                assert stream.content(track)[1].tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("x,z", r"lacks the columns y and has the columns z, which the others have not\. Give"),
            ("x", r"lacks the columns y\. Give all files the same columns, or leave it out"),
            ("x,y,v,w", r"csv has the columns v, w, which the others have not\. Give all"),
        ],
    )
    def test_columns_of_other_names_are_refused_by_name(
        self, tmp_path: Path, header: str, said: str
    ) -> None:
        record = written(tmp_path, header, ",".join("1234"[: header.count(",") + 1]))
        with pytest.raises(SampleError, match=said):
            stream_of(columns=("x", "y")).read(record)


class TestAugmentation:
    def test_mirrored_twice_is_itself(self) -> None:
        steps = skeletons()
        once = mirrored(steps, FIGURE)
        assert np.nanmax(np.abs(once - steps)) > 1
        np.testing.assert_allclose(mirrored(once, FIGURE), steps, rtol=1e-5)

    def test_mirrored_the_left_hand_is_the_right_one_on_the_other_side(self) -> None:
        steps = np.array([[[10, 0, 14, 1, 4, 2]]], np.float32)  # the mean x is 28 / 3
        expected = [[[56 / 3 - 10, 0, 56 / 3 - 4, 2, 56 / 3 - 14, 1]]]
        np.testing.assert_allclose(mirrored(steps, FIGURE), expected, rtol=1e-6)

    def test_half_of_the_clips_are_mirrored_and_none_without_flip(self) -> None:
        steps = skeletons(missing=0)

        def is_mirrored(stream: ArrayStream, seed: int) -> bool:
            changed = stream.augmented(steps, seed).reshape(-1, 3, 2)
            before = steps.reshape(-1, 3, 2)
            # Down, the left hand is now where the right one was, but for the scale.
            return bool(
                np.corrcoef(changed[:, 1, 1], before[:, 2, 1])[0, 1]
                > np.corrcoef(changed[:, 1, 1], before[:, 1, 1])[0, 1]
            )

        with_flip = stream_of(6, joints=FIGURE)
        assert 60 < sum(is_mirrored(with_flip, seed) for seed in range(200)) < 140
        without = stream_of(6, joints=FIGURE, flip=False)
        assert not any(is_mirrored(without, seed) for seed in range(50))

    @pytest.mark.parametrize("augment", ["none", "light", "strong"])
    def test_beside_pictures_skeletons_are_mirrored_where_the_pictures_are(
        self, augment: str
    ) -> None:
        described = Streams(names=("rgb", "arrays"), num_values=6, joints=FIGURE)
        rgb, arrays = build_streams(described, size=(32, 32), augment=augment, flip=True)
        assert rgb.augments and arrays.augments
        ramp = np.linspace(64, 192, 48).astype(np.uint8)  # rises to the right
        pictures = np.ascontiguousarray(np.broadcast_to(ramp[:, None], (1, 48, 48, 3)))
        steps = skeletons(missing=0)
        once = mirrored(steps, FIGURE)
        sides = []
        for seed in range(80):
            columns = rgb.augmented(pictures, seed)[0].mean(axis=(0, 2))
            changed = arrays.augmented(steps, seed)
            # Scaled by a tenth at most: it is nearer to what it was made of.
            nearer = np.abs(changed - once).sum() < np.abs(changed - steps).sum()
            sides.append((columns[0] > columns[-1], nearer))
            if augment == "none":
                np.testing.assert_array_equal(changed, once if nearer else steps)
        assert all(picture == skeleton for picture, skeleton in sides)
        assert 20 < sum(skeleton for _, skeleton in sides) < 60

    def test_without_augmentation_other_rows_stay_as_they_are(self) -> None:
        steps = skeletons()
        (arrays,) = build_streams(
            Streams(names=("arrays",), num_values=6), size=(8, 8), augment="none", flip=True
        )
        np.testing.assert_array_equal(arrays.augmented(steps, 1), steps)

    @pytest.mark.parametrize("joints", [FIGURE, None])
    def test_the_same_seed_gives_the_same_and_another_another(
        self, joints: JointMap | None
    ) -> None:
        stream, steps = stream_of(6, joints=joints), skeletons()
        before = steps.copy()
        one, again = (stream.augmented(steps, 3) for _ in range(2))
        np.testing.assert_array_equal(one, again)
        assert not np.array_equal(one, stream.augmented(steps, 4), equal_nan=True)
        np.testing.assert_array_equal(steps, before)
        assert one.dtype == np.float32
        assert one.shape == steps.shape

    def test_scaled_skeletons_keep_their_shape_and_their_confidence(self) -> None:
        steps = np.random.default_rng(0).normal(100, 20, (4, 3, 51)).astype(np.float32)
        stream = stream_of(51, joints=coco17(axes=3), flip=False)
        before, after = (x.reshape(-1, 3) for x in (steps, stream.augmented(steps, 1)))
        np.testing.assert_array_equal(before[:, 2], after[:, 2])
        factor = np.std(after[:, :2], axis=0) / np.std(before[:, :2], axis=0)
        assert factor[0] == pytest.approx(factor[1], rel=1e-4)
        assert 0.9 <= factor[0] <= 1.1
        np.testing.assert_allclose(before.mean(axis=0), after.mean(axis=0), rtol=1e-4)

    def test_noise_is_slight_beside_each_columns_spread(self) -> None:
        rng = np.random.default_rng(0)
        steps = (rng.normal(0, 1, (20, 9, 3)) * [1, 1000, 0] + 5).astype(np.float32)
        noise = stream_of(3).augmented(steps, 1) - steps
        assert noise.std(axis=(0, 1)) == pytest.approx([0.02, 20, 0], rel=0.2)

    @pytest.mark.parametrize("joints", [FIGURE, None])
    def test_what_is_missing_stays_missing_and_takes_nothing_along(
        self, joints: JointMap | None
    ) -> None:
        stream, steps = stream_of(6, joints=joints, flip=False), skeletons(missing=0.3)
        np.testing.assert_array_equal(np.isnan(stream.augmented(steps, 1)), np.isnan(steps))
        nothing = np.full((2, 3, 6), NAN, np.float32)
        for seed in range(4):
            changed = stream_of(6, joints=joints).augmented(nothing, seed)
            assert np.isnan(changed).all()


class TestDrawing:
    @pytest.mark.parametrize("joints", [FIGURE, None])
    @pytest.mark.parametrize("height", [48, 112])
    def test_each_step_is_one_picture_on_white(self, joints: JointMap | None, height: int) -> None:
        drawn = stream_of(6, joints=joints).drawn(skeletons(), height=height)
        assert drawn.shape == (4, height, height, 3)
        assert drawn.dtype == np.uint8
        for picture in drawn:
            assert 0.01 < (picture < 250).any(axis=2).mean() < 0.6

    def test_all_steps_are_drawn_on_one_scale(self) -> None:
        small = np.array([[[0, 0, 5, 10, -5, 10]]] * 2, np.float32)
        small[1] *= 4
        drawn = stream_of(6, joints=FIGURE, window=1).drawn(small, height=112)
        heights = [np.ptp(np.flatnonzero((picture < 250).any(axis=(1, 2)))) for picture in drawn]
        assert heights[1] / heights[0] == pytest.approx(4, rel=0.3)

    def test_missing_joints_are_left_out(self) -> None:
        steps = skeletons(missing=0)
        whole = stream_of(6, joints=FIGURE).drawn(steps, height=64)
        steps[:, :, 2:4] = NAN
        without = stream_of(6, joints=FIGURE).drawn(steps, height=64)
        blue = (37, 99, 235)  # what is left
        assert (whole == blue).all(axis=3).any()
        assert not (without == blue).all(axis=3).any()

    @pytest.mark.parametrize(("window", "num_values"), [(1, 1), (1, 30), (9, 3)])
    @pytest.mark.parametrize("value", [NAN, 0.0, 1e30])
    def test_nothing_and_what_never_changes_can_be_drawn(
        self, window: int, num_values: int, value: float
    ) -> None:
        steps = np.full((2, window, num_values), value, np.float32)
        assert stream_of(num_values).drawn(steps, height=32).shape == (2, 32, 32, 3)
        figure = np.full((2, window, 6), value, np.float32)
        drawn = stream_of(6, joints=FIGURE).drawn(figure, height=32)
        assert bool((drawn == 255).all()) == np.isnan(value)


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("poses")
    return list(write_skeleton_dataset(root, groups=12, clips_per_group=3))


@pytest.fixture(scope="module")
def sensors(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("sensors")
    return list(write_sensor_dataset(root, groups=12, clips_per_group=3))


def accuracy(features: NDArray[Any], labels: NDArray[Any]) -> float:
    """Of a linear classifier that learns from two thirds of the groups, on the others."""
    cut = len(labels) * 2 // 3  # files come group by group
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    classifier.fit(features[:cut], labels[:cut])
    return float(classifier.score(features[cut:], labels[cut:]))


class TestSyntheticSets:
    def test_are_laid_out_by_class_and_group(self, poses: list[Path], sensors: list[Path]) -> None:
        for files, labels, suffix in ((poses, POSES, ".npy"), (sensors, ORDERS, ".csv")):
            assert len(files) == len(labels) * 12 * 3
            assert {path.parent.name for path in files} == set(labels)
            assert len(labels) == 6
            assert files[0].name.endswith(f"_g01_c01{suffix}")
            lengths = {len(read_array(path).values) for path in files[:30]}
            assert 48 <= min(lengths) < max(lengths) <= 72

    def test_skeletons_fit_coco17_and_some_joints_are_missing(self, poses: list[Path]) -> None:
        stream = stream_of(34, joints=coco17())
        rows = np.concatenate([stream.read(record_of(path)).rows for path in poses[:20]])
        assert 0.01 < np.isnan(rows).mean() < 0.1

    def test_sensors_have_times_and_some_numbers_are_missing(self, sensors: list[Path]) -> None:
        read = read_array(sensors[0])
        assert read.columns == ("force", "heat", "light")
        assert read.times_s is not None
        assert np.std(np.diff(read.times_s)) > 0.001
        assert any(np.isnan(read_array(path).values).any() for path in sensors[:10])

    def test_the_same_seed_gives_the_same_files(self, tmp_path: Path) -> None:
        for write in (write_skeleton_dataset, write_sensor_dataset):
            one, again, other = (
                [p.read_bytes() for p in write(tmp_path, groups=1, clips_per_group=1, seed=seed)]
                for seed in (1, 1, 2)
            )
            assert one == again != other

    @pytest.mark.parametrize("which", ["poses", "sensors"])
    def test_the_mean_over_time_tells_no_class_but_the_order_does(
        self, which: str, request: pytest.FixtureRequest
    ) -> None:
        files: list[Path] = request.getfixturevalue(which)
        means, courses = [], []
        for path in files:
            rows = read_array(path).values.astype(np.float64)
            if which == "poses":  # what a mean could tell is no matter of place and size
                points = rows.reshape(len(rows), 17, 2)
                points = points - np.nanmean(points[:, 11:13], axis=(0, 1))
                torso = -np.nanmean(points[:, 5:7, 1])
                rows = (points / torso).reshape(len(rows), 34)
            means.append(np.nanmean(rows, axis=0))
            moved = np.nan_to_num(np.abs(rows - np.nanmedian(rows, axis=0)))
            # When each column is away from where it usually is, on the mean.
            when = np.linspace(0, 1, len(rows)) @ moved**2 / (moved**2).sum(axis=0)
            courses.append(when)
        labels = np.array([path.parent.name for path in files])
        assert accuracy(np.array(means), labels) < 0.3  # chance is 0.17
        assert accuracy(np.array(courses), labels) > (0.5 if which == "poses" else 0.9)
