"""From records to padded batches: true lengths, true frames, and one result however it is read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_data import kept_frames, num_kept, picture_options
from torch import Tensor
from video_files import numbered_frames, read_numbers, write_video

from cliptide.datasets.clips import ClipDataset, Sample
from cliptide.datasets.kept import KeptRows
from cliptide.datasets.loaders import (
    Batch,
    EpochSampler,
    collate,
    make_loader,
    worker_count,
)
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.transforms import decode_size

SIZE = (24, 64)
# Frames of each video; the numbers in them begin where the video before ended.
VIDEO_FRAMES = {"long": 40, "short": 3, "single": 1, "other": 17}
CLASS_NAMES = ("a", "b")
UNIFORM = SamplingRule("uniform", frames=6)


def record(source: Path, **changes: Any) -> SampleRecord:
    made = SampleRecord(source=source, name=source.name, label="a", group=source.stem)
    return replace(made, **changes)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SampleRecord]:
    """Videos at 10 frames a second in which no two frames have the same number."""
    folder = tmp_path_factory.mktemp("videos")
    numbers, records, start = numbered_frames(sum(VIDEO_FRAMES.values())), {}, 0
    for label, (name, count) in zip("abab", VIDEO_FRAMES.items(), strict=True):
        path = write_video(folder / f"{name}.mp4", numbers[start : start + count], fps=10)
        records[name] = record(path, label=label)
        start += count
    broken = folder / "broken.mp4"
    broken.write_bytes(b"this is no video")
    records["broken"] = record(broken)
    return records


def first_number(name: str) -> int:
    names = list(VIDEO_FRAMES)
    return sum(VIDEO_FRAMES[before] for before in names[: names.index(name)])


def make_dataset(records: Sequence[SampleRecord], **changes: Any) -> ClipDataset:
    options = {"class_names": CLASS_NAMES, "rule": UNIFORM, "size": SIZE, **changes}
    return ClipDataset(records, **picture_options(**options))


def numbers_in(clip: Tensor, name: str) -> list[int]:
    """Which frames of a video (T, 3, H, W) are."""
    frames = clip.permute(0, 2, 3, 1).numpy()
    return [number - first_number(name) for number in read_numbers(frames)]


def batches(dataset: ClipDataset, *, epochs: Sequence[int] = (0,), **options: Any) -> list[Batch]:
    loader = make_loader(dataset, **{"batch_size": 3, **options})
    found = []
    for epoch in epochs:
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.set_epoch(epoch)
        found += list(loader)
    return found


def by_sample(found: Sequence[Batch]) -> dict[int, list[Tensor]]:
    """Each sample's clips, without padding, in the order they came."""
    clips: dict[int, list[Tensor]] = {}
    for batch in found:
        for index, clip, length in zip(batch.indices, batch.clips, batch.lengths, strict=True):
            clips.setdefault(int(index), []).append(clip[:length])
    return clips


def assert_same(one: dict[int, list[Tensor]], other: dict[int, list[Tensor]]) -> None:
    assert one.keys() == other.keys()
    for index, clips in one.items():
        assert len(clips) == len(other[index])
        assert all(map(torch.equal, clips, other[index])), index


class TestSample:
    def test_a_clip_is_the_frames_the_rule_chose(self, videos: dict[str, SampleRecord]) -> None:
        sample = make_dataset([videos["long"]])[0, 0]
        (clip,) = sample.clips
        assert clip.dtype == torch.uint8
        assert clip.shape == (6, 3, *SIZE)
        assert clip.is_contiguous()
        assert numbers_in(clip, "long") == [3, 10, 16, 23, 30, 36]
        assert sample.frames_used == 6
        assert sample.duration_s == pytest.approx(4.0)
        assert sample.used_fps == (pytest.approx(10 * 5 / 33),)
        assert sample.error == ""

    @pytest.mark.parametrize("augment", [None, "none"])
    @pytest.mark.parametrize("name", ["short", "single"])
    def test_a_short_video_gives_its_true_length(
        self, videos: dict[str, SampleRecord], name: str, augment: str | None
    ) -> None:
        (clip,) = make_dataset([videos[name]], augment=augment)[0, 0].clips
        assert numbers_in(clip, name) == list(range(VIDEO_FRAMES[name]))

    def test_a_single_frame_lasts_as_long_as_it_is_shown(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        sample = make_dataset([videos["single"]])[0, 0]
        assert sample.duration_s == pytest.approx(0.1)
        assert sample.used_fps == pytest.approx((10.0,))

    def test_a_segment_gives_frames_from_start_up_to_but_without_end(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        segment = replace(videos["long"], start_s=1.0, end_s=1.5)
        sample = make_dataset([segment])[0, 0]
        assert numbers_in(sample.clips[0], "long") == [10, 11, 12, 13, 14]
        assert sample.duration_s == pytest.approx(0.5)

    def test_an_end_beyond_the_video_means_its_end(self, videos: dict[str, SampleRecord]) -> None:
        segment = replace(videos["long"], start_s=3.6, end_s=99.0)
        assert numbers_in(make_dataset([segment])[0, 0].clips[0], "long") == [36, 37, 38, 39]

    def test_a_segment_behind_the_end_is_an_error_of_its_own(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        sample = make_dataset([replace(videos["long"], start_s=50.0)])[0, 0]
        assert sample.clips == ()
        assert "long.mp4 has no frame from 50 s" in sample.error

    def test_sampling_by_rate_keeps_the_rate(self, videos: dict[str, SampleRecord]) -> None:
        rule = SamplingRule("rate", frames=6, rate_fps=5.0)
        for epoch, augment in enumerate([None, "none", "none", "none"]):
            sample = make_dataset([videos["long"]], rule=rule, augment=augment)[epoch, 0]
            numbers = numbers_in(sample.clips[0], "long")
            assert np.diff(numbers).tolist() == [2] * 5
            assert sample.used_fps == (pytest.approx(5.0),)

    def test_views_are_different_frames_of_one_video(self, videos: dict[str, SampleRecord]) -> None:
        sample = make_dataset([videos["long"]], num_views=3)[0, 0]
        numbers = [numbers_in(clip, "long") for clip in sample.clips]
        assert len(numbers) == len(sample.used_fps) == 3
        assert len({tuple(view) for view in numbers}) == 3
        assert all(view == sorted(view) for view in numbers)
        assert sample.frames_used == len({number for view in numbers for number in view})

    def test_a_short_video_has_one_view(self, videos: dict[str, SampleRecord]) -> None:
        assert len(make_dataset([videos["short"]], num_views=3)[0, 0].clips) == 1

    def test_training_takes_one_view_of_frames_drawn_anew_each_epoch(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        dataset = make_dataset([videos["long"]], augment="none", num_views=3)
        drawn = [dataset[epoch, 0].clips for epoch in range(6)]
        assert all(len(clips) == 1 for clips in drawn)
        numbers = [numbers_in(clip, "long") for (clip,) in drawn]
        assert all(view == sorted(set(view)) and len(view) == 6 for view in numbers)
        assert len({tuple(view) for view in numbers}) > 3

    def test_evaluation_is_the_same_in_every_epoch(self, videos: dict[str, SampleRecord]) -> None:
        dataset = make_dataset([videos["long"]])
        assert torch.equal(dataset[0, 0].clips[0], dataset[5, 0].clips[0])

    def test_augmented_clips_have_the_networks_size(self, videos: dict[str, SampleRecord]) -> None:
        (clip,) = make_dataset([videos["long"]], augment="strong", flip=True)[0, 0].clips
        assert clip.shape == (6, 3, *SIZE)

    def test_labels_count_from_zero_in_the_order_of_the_classes(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        records = [videos["long"], videos["short"], replace(videos["long"], label="unheard of")]
        dataset = make_dataset(records)
        assert [dataset[0, index].label for index in range(3)] == [0, 1, -1]

    def test_an_unreadable_video_gives_its_error_and_no_frames(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        gone = record(videos["broken"].source.with_name("gone.mp4"))
        dataset = make_dataset([videos["broken"], gone], augment="light")
        for index, name in enumerate(["broken.mp4", "gone.mp4"]):
            sample = dataset[0, index]
            assert sample.clips == ()
            assert sample.index == index
            assert name in sample.error


class TestBatch:
    def test_clips_are_padded_with_zeros_to_the_longest(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        names = ["long", "short", "single"]
        (batch,) = batches(make_dataset([videos[name] for name in names]))
        assert batch.clips.shape == (3, 6, 3, *SIZE)
        assert batch.clips.dtype == torch.uint8
        assert batch.lengths.tolist() == [6, 3, 1]
        assert batch.lengths.dtype == batch.labels.dtype == torch.int64
        assert batch.labels.tolist() == [0, 1, 0]
        for clip, length, name in zip(batch.clips, batch.lengths, names, strict=True):
            assert not clip[length:].any()
            assert max(numbers_in(clip[:length], name)) < VIDEO_FRAMES[name]

    def test_views_of_one_video_share_its_index(self, videos: dict[str, SampleRecord]) -> None:
        dataset = make_dataset([videos["long"], videos["short"], videos["other"]], num_views=2)
        (batch,) = batches(dataset)
        assert batch.indices.tolist() == [0, 0, 1, 2, 2]
        assert [sample.index for sample in batch.samples] == [0, 1, 2]
        assert all(sample.clips == () for sample in batch.samples)

    def test_no_other_video_stands_in_for_an_unreadable_one(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        dataset = make_dataset([videos["long"], videos["broken"], videos["other"]], augment="none")
        (batch,) = batches(dataset)
        assert batch.indices.tolist() == [0, 2]
        assert [bool(sample.error) for sample in batch.samples] == [False, True, False]
        for clip, name in zip(batch.clips, ["long", "other"], strict=True):
            assert min(numbers_in(clip, name)) >= 0
            assert max(numbers_in(clip, name)) < VIDEO_FRAMES[name]

    def test_a_batch_of_unreadable_videos_is_empty_and_says_why(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        (batch,) = batches(make_dataset([videos["broken"]] * 2))
        assert len(batch.clips) == len(batch.lengths) == len(batch.labels) == 0
        assert [bool(sample.error) for sample in batch.samples] == [True, True]

    def test_moving_a_batch_moves_clips_and_labels_and_leaves_the_lengths(self) -> None:
        clip = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
        batch = collate([Sample(5, (clip,), 1)]).to(torch.device("meta"))
        assert batch.clips.is_meta
        assert batch.labels.is_meta
        assert batch.lengths.tolist() == [2]


class TestOrder:
    def test_every_sample_comes_once_in_an_epoch_in_an_order_of_its_own(self) -> None:
        sampler = EpochSampler(50, shuffle=True, seed=1)
        orders = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            pairs = list(sampler)
            assert {told for told, _ in pairs} == {epoch}
            orders.append([index for _, index in pairs])
            assert sorted(orders[-1]) == list(range(50))
        assert orders[0] != orders[1] != orders[2]
        assert [index for _, index in EpochSampler(50, shuffle=True, seed=1)] == orders[0]
        assert [index for _, index in EpochSampler(50, shuffle=True, seed=2)] != orders[0]

    def test_without_shuffling_the_order_is_that_of_the_records(self) -> None:
        assert list(EpochSampler(3, shuffle=False, seed=1)) == [(0, 0), (0, 1), (0, 2)]

    def test_few_clips_need_no_processes(self) -> None:
        assert worker_count("auto", num_samples=10) == 0
        assert worker_count("auto", num_samples=10_000) >= 1
        assert worker_count(3, num_samples=10) == 3


@pytest.fixture(scope="module")
def training(videos: dict[str, SampleRecord]) -> ClipDataset:
    """All videos, the broken one among them, some as segments, with everything random."""
    records = [
        *videos.values(),
        replace(videos["long"], start_s=1.0, end_s=3.0),
        replace(videos["other"], start_s=0.3),
    ]
    return make_dataset(records, augment="strong", flip=True, seed=3)


@pytest.fixture(scope="module")
def alone(training: ClipDataset) -> dict[int, list[Tensor]]:
    """Two epochs read in this process, without shuffling."""
    return by_sample(batches(training, epochs=(0, 1)))


class TestRepeatability:
    def test_two_processes_give_the_same_clips_as_none(
        self, training: ClipDataset, alone: dict[int, list[Tensor]]
    ) -> None:
        found = batches(training, epochs=(0, 1), workers=2, shuffle=True)
        assert_same(by_sample(found), alone)
        failed = [sample for batch in found for sample in batch.samples if sample.error]
        assert [sample.index for sample in failed] == [4, 4]

    def test_order_and_size_of_batches_change_no_clip(
        self, training: ClipDataset, alone: dict[int, list[Tensor]]
    ) -> None:
        assert_same(by_sample(batches(training, epochs=(0, 1), shuffle=True)), alone)
        assert_same(by_sample(batches(training, epochs=(0, 1), batch_size=5)), alone)

    def test_a_sample_read_on_its_own_is_the_same(
        self, training: ClipDataset, alone: dict[int, list[Tensor]]
    ) -> None:
        assert torch.equal(training[1, 5].clips[0], alone[5][1])
        torch.manual_seed(99)
        np.random.seed(99)
        assert torch.equal(training[0, 0].clips[0], alone[0][0])

    def test_samples_of_one_epoch_draw_each_for_itself(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        dataset = make_dataset([videos["long"]] * 6, augment="none")
        drawn = [tuple(numbers_in(dataset[0, index].clips[0], "long")) for index in range(6)]
        assert len(set(drawn)) > 3

    def test_epochs_and_seeds_differ(
        self, training: ClipDataset, alone: dict[int, list[Tensor]]
    ) -> None:
        first, second = alone[0]
        assert not torch.equal(first, second)
        other = make_dataset(training.records, augment="strong", flip=True, seed=4)
        assert not torch.equal(other[0, 0].clips[0], first)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_kept_clips_give_the_very_same_batches(
        self, training: ClipDataset, alone: dict[int, list[Tensor]], workers: int
    ) -> None:
        with kept_clips(len(training), budget_bytes=10**7) as kept:
            dataset = make_dataset(training.records, augment="strong", flip=True, seed=3, kept=kept)
            found = batches(dataset, epochs=(0, 1), workers=workers, shuffle=True)
            assert_same(by_sample(found), alone)
            assert num_kept(kept, len(training)) == len(training) - 1, "all but the broken one"
            failed = [sample for batch in found for sample in batch.samples if sample.error]
            assert [sample.index for sample in failed] == [4, 4]

    def test_clips_that_find_no_room_are_decoded_each_time(
        self, training: ClipDataset, alone: dict[int, list[Tensor]]
    ) -> None:
        with kept_clips(len(training), budget_bytes=40_000) as kept:
            dataset = make_dataset(training.records, augment="strong", flip=True, seed=3, kept=kept)
            assert_same(by_sample(batches(dataset, epochs=(0, 1))), alone)
            assert 0 < num_kept(kept, len(training)) < len(training) - 1

    def test_views_of_kept_clips_are_those_of_decoding(
        self, videos: dict[str, SampleRecord]
    ) -> None:
        records = [videos["long"], videos["other"]]
        plain = by_sample(batches(make_dataset(records, num_views=3)))
        with kept_clips(2, budget_bytes=10**6, size=SIZE) as kept:
            dataset = make_dataset(records, num_views=3, kept=kept)
            for _ in range(2):
                assert_same(by_sample(batches(dataset)), plain)

    def test_kept_clips_are_not_decoded_again(
        self, videos: dict[str, SampleRecord], tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy.mp4"
        copy.write_bytes(videos["long"].source.read_bytes())
        with kept_clips(1, budget_bytes=10**6, size=SIZE) as kept:
            dataset = make_dataset([record(copy)], augment="none", kept=kept)
            first = dataset[0, 0]
            copy.unlink()
            again = dataset[0, 0]
            assert torch.equal(first.clips[0], again.clips[0])
            assert replace(first, clips=()) == replace(again, clips=())


class kept_clips:
    """Room for clips while a test runs."""

    def __init__(
        self, num_clips: int, *, budget_bytes: int, size: tuple[int, int] | None = None
    ) -> None:
        size = size or decode_size(SIZE, augment="strong")
        self.kept = kept_frames(num_clips, size, budget_bytes=budget_bytes)

    def __enter__(self) -> KeptRows:
        return self.kept

    def __exit__(self, *error: object) -> None:
        self.kept.close()


def test_bars_around_a_picture_make_it_no_darker(tmp_path: Path) -> None:
    frames = np.full((4, 32, 96, 3), 200, dtype=np.uint8)
    path = tmp_path / "wide.avi"
    write_video(path, frames)
    record = SampleRecord(path, "wide", "a", "g")
    rule = SamplingRule("uniform", 4)
    looks = [
        make_dataset([record], rule=rule, size=(64, 64), fit=fit)[0, 0].looks
        for fit in ("resize", "letterbox", "pad", "crop")
    ]
    for one in looks:
        assert one.brightness == pytest.approx(200 / 255, abs=0.05)
        assert (one.width, one.height) == (96, 32)
