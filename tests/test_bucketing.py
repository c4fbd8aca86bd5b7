"""Batches of clips of like length: every clip once, always the same ones, and less padding."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from picture_data import picture_options
from reproducible import reproducible
from video_files import numbered_frames, write_video

from cliptide.app.training.callbacks import EpochKeeper
from cliptide.app.training.train import train
from cliptide.configs.schema import DataConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.bucketing import bucketed
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.lengths import clip_lengths
from cliptide.datasets.loaders import Batch, BucketSampler, EpochSampler, make_loader
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.pictures import PictureStream
from cliptide.models.bundle import read_tensors

lengths_of_clips = st.lists(st.integers(1, 40), max_size=120)


def deal(lengths: list[int], batch_size: int, *, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    order = EpochSampler(len(lengths), shuffle=True, seed=seed)
    order.set_epoch(epoch)
    sampler = BucketSampler(order, lengths=lengths, batch_size=batch_size)
    batches = list(sampler)
    assert len(sampler) == len(batches)
    assert {told for batch in batches for told, _ in batch} <= {epoch}
    return [[index for _, index in batch] for batch in batches]


def num_padded(batches: list[list[int]], lengths: list[int]) -> int:
    """Frames of padding in batches that are padded to their longest clip."""
    return sum(
        max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch)
        for batch in batches
    )


class TestBatches:
    @given(lengths_of_clips, st.integers(1, 9), st.integers(0, 5), st.integers(0, 5))
    def test_every_clip_comes_once_an_epoch_in_as_few_batches_as_can_be(
        self, lengths: list[int], batch_size: int, seed: int, epoch: int
    ) -> None:
        batches = deal(lengths, batch_size, seed=seed, epoch=epoch)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= batch_size for batch in batches)
        assert sum(len(batch) < batch_size for batch in batches) <= 1
        assert batches == deal(lengths, batch_size, seed=seed, epoch=epoch), "drawn from the seed"

    @given(lengths_of_clips, st.integers(1, 9), st.integers(1, 4))
    def test_within_a_pool_no_two_batches_overlap_in_length(
        self, lengths: list[int], batch_size: int, pool_batches: int
    ) -> None:
        """The least padding that batches of this size can have."""
        pool_size = batch_size * pool_batches
        batches = bucketed(
            range(len(lengths)),
            lengths,
            batch_size=batch_size,
            rng=np.random.default_rng(0),
            pool_batches=pool_batches,
        )
        for pool in {batch[0] // pool_size for batch in batches}:
            own = [batch for batch in batches if batch[0] // pool_size == pool]
            assert all(index // pool_size == pool for batch in own for index in batch)
            spans = sorted((lengths[batch[0]], lengths[batch[-1]]) for batch in own)
            flat = [length for span in spans for length in span]
            assert flat == sorted(flat)

    def test_epochs_and_seeds_meet_in_other_batches(self) -> None:
        lengths = [1 + i % 7 for i in range(60)]
        first = deal(lengths, 4)
        assert first != deal(lengths, 4, epoch=1)
        assert first != deal(lengths, 4, seed=1)

    def test_batches_come_in_no_order_of_length(self) -> None:
        lengths = list(range(1, 101))
        means = [np.mean(batch) for batch in deal(lengths, 4)]
        assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.6

    def test_the_batch_with_fewer_clips_is_not_always_that_of_the_longest(self) -> None:
        lengths = list(range(1, 22))
        alone = {
            batch[0]
            for epoch in range(40)
            for batch in deal(lengths, 5, epoch=epoch)
            if len(batch) == 1
        }
        assert alone == {0, 5, 10, 15, 20}

    def test_clips_of_one_length_meet_at_random(self) -> None:
        sampler = EpochSampler(12, shuffle=True, seed=0)
        plain = [index for _, index in sampler]
        batches = deal([5] * 12, 3)
        assert sorted(batches) == sorted(plain[start : start + 3] for start in range(0, 12, 3))


MOST_FRAMES = 12
STREAMS = [PictureStream(size=(8, 8))]
RULE = SamplingRule("uniform", frames=MOST_FRAMES)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 videos of 1 to 12 frames in two classes."""
    root = tmp_path_factory.mktemp("mixed")
    for number in range(40):
        label = "ab"[number % 2]
        (root / label).mkdir(exist_ok=True)
        count = 1 + number * 7 % MOST_FRAMES
        path = root / label / f"v_{label}_g{number // 4:02d}_c{number:02d}.mp4"
        write_video(path, numbered_frames(count, height=16, width=16))
    return root


@pytest.fixture(scope="module")
def records(data: Path) -> list[SampleRecord]:
    return [
        SampleRecord(path, path.name, label=path.parent.name, group=path.stem)
        for path in sorted(data.rglob("*.mp4"), key=lambda path: path.stem[-2:])
    ]


class TestLengths:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_lengths_are_those_of_the_clips(
        self, records: list[SampleRecord], workers: int
    ) -> None:
        found = list(clip_lengths(records, STREAMS, rule=RULE, workers=workers))
        assert found == [1 + number * 7 % MOST_FRAMES for number in range(40)]

    def test_a_segment_and_a_rule_are_followed(self, records: list[SampleRecord]) -> None:
        longest = records[5]  # 12 frames at 25 a second
        parts = [longest, replace(longest, end_s=0.2), replace(longest, start_s=0.4)]
        assert list(clip_lengths(parts, STREAMS, rule=RULE)) == [12, 5, 2]
        dense = SamplingRule("dense", frames=4, stride=4)
        assert list(clip_lengths(parts, STREAMS, rule=dense)) == [3, 2, 1]

    def test_what_cannot_be_read_goes_to_the_end(
        self, records: list[SampleRecord], tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"this is no video")
        gone = SampleRecord(tmp_path / "gone.mp4", "gone.mp4", label="a", group="")
        bad = SampleRecord(broken, "broken.mp4", label="a", group="")
        assert list(clip_lengths([bad, records[0], gone], STREAMS, rule=RULE)) == [13, 1, 13]


class TestLoader:
    def read(self, records: list[SampleRecord], *, bucket: bool, workers: int = 0) -> list[Batch]:
        dataset = ClipDataset(
            records,
            class_names=["a", "b"],
            rule=RULE,
            seed=1,
            **picture_options(size=(8, 8), augment="light"),
        )
        lengths = list(clip_lengths(records, STREAMS, rule=RULE)) if bucket else None
        loader = make_loader(dataset, batch_size=8, shuffle=True, workers=workers, lengths=lengths)
        return list(loader)

    def test_the_same_clips_with_less_than_a_quarter_of_the_padding(
        self, records: list[SampleRecord]
    ) -> None:
        plain, bucketed = self.read(records, bucket=False), self.read(records, bucket=True)

        def padded(batches: list[Batch]) -> int:
            return sum(
                batch.clips[:, :, 0, 0, 0].numel() - int(batch.lengths.sum()) for batch in batches
            )

        def clips(batches: list[Batch]) -> dict[int, torch.Tensor]:
            return {
                int(index): clip[:length]
                for batch in batches
                for index, clip, length in zip(
                    batch.indices, batch.clips, batch.lengths, strict=True
                )
            }

        one, other = clips(plain), clips(bucketed)
        assert one.keys() == other.keys() == set(range(40))
        assert all(torch.equal(one[index], other[index]) for index in one)
        assert padded(bucketed) < padded(plain) / 4

    def test_batches_do_not_depend_on_the_number_of_processes(
        self, records: list[SampleRecord]
    ) -> None:
        alone, shared = (self.read(records, bucket=True, workers=count) for count in (0, 2))
        for one, other in zip(alone, shared, strict=True):
            assert torch.equal(one.indices, other.indices)
            assert torch.equal(one.clips, other.clips)


def config(**data: object) -> RunConfig:
    return RunConfig(
        data=DataConfig(**{"frames": MOST_FRAMES, "size": 8, "workers": 0, "bucket": True, **data}),
        model=ModelConfig(width=0.1, hidden=4),
        train=TrainConfig(epochs=3, batch_size=6),
        device="cpu",
    )


class TestTraining:
    def test_a_run_with_buckets_resumes_to_the_same_result(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unbroken = train(data, config=config(), out=tmp_path / "unbroken")
        broken = tmp_path / "broken"
        saved = EpochKeeper.on_train_epoch_end

        def stop_after_two(self: EpochKeeper, trainer: object, module: object) -> None:
            saved(self, trainer, module)  # type: ignore[arg-type]
            if len(self.history) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(EpochKeeper, "on_train_epoch_end", stop_after_two)
            with pytest.raises(KeyboardInterrupt):
                train(data, config=config(), out=broken)
        resumed = train(resume=broken)
        one, other = read_tensors(unbroken.model), read_tensors(resumed.model)
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert reproducible(resumed.metrics) == reproducible(unbroken.metrics)

    def test_an_unreadable_video_is_quarantined_as_ever(self, data: Path, tmp_path: Path) -> None:
        copy = tmp_path / "data"
        shutil.copytree(data, copy)
        for path in (copy / "a").glob("*_g00_*"):
            path.write_bytes(b"this is no video")
        run = train(copy, config=config(), out=tmp_path / "run")
        failed = run.num_quarantined + run.metrics["num_failed"]
        assert failed == len(list((copy / "a").glob("*_g00_*")))

    def test_equal_lengths_are_said_to_gain_nothing(
        self, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        train(small_data, config=config(frames=4), out=tmp_path / "run")
        assert "data.bucket changes nothing" in capsys.readouterr().err
