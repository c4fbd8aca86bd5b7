"""Mixup and cutmix: whose pixels and whose label, and how much of each."""

from typing import Any

import pytest
import torch
from test_fusion import clips_of
from test_fusion import network_of as joined_network_of
from torch import Tensor

from cliptide.app.training.mixing import check_mixing, lead_in, mix_clips
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.models.encoders.joined import without_streams
from cliptide.models.late import which_are_there


def plain_clips(values: list[int], lengths: list[int], side: int = 8) -> Tensor:
    """Clips of a single grey each, zero at the padding."""
    clips = torch.zeros(len(values), max(lengths), 3, side, side, dtype=torch.uint8)
    for clip, value, length in zip(clips, values, lengths, strict=True):
        clip[:length] = value
    return clips


def mixed_pairs(*, mixup: float = 0.0, cutmix: float = 0.0, lengths: tuple[int, int] = (3, 3)):
    """Mixes of a black and a white clip in which the two were partners."""
    for seed in range(40):
        torch.manual_seed(seed)
        clips = plain_clips([0, 200], list(lengths))
        mixed, targets = mix_clips(
            clips, torch.tensor(lengths), torch.eye(2), mixup=mixup, cutmix=cutmix
        )
        if targets[0, 1] > 0:
            yield mixed, targets


def test_mixup_blends_pixels_and_targets_by_one_share() -> None:
    pairs = list(mixed_pairs(mixup=1.0))
    assert len(pairs) > 5
    for mixed, targets in pairs:
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))
        assert mixed.dtype == torch.uint8
        assert mixed[0].unique().tolist() == [round(200 * float(targets[0, 1]))]
        assert mixed[1].unique().tolist() == [round(200 * float(targets[1, 1]))]


def test_cutmix_pastes_one_box_into_all_frames_and_counts_its_area() -> None:
    pairs = list(mixed_pairs(cutmix=1.0))
    assert len(pairs) > 5
    for mixed, targets in pairs:
        box = mixed[0, 0, 0] == 200
        rows, columns = box.any(dim=1).sum(), box.any(dim=0).sum()
        assert box.sum() == rows * columns, "a rectangle"
        assert ((mixed[0] == 200) == box).all(), "the same in all frames and colours"
        assert float(targets[0, 1]) == pytest.approx(float(box.float().mean()))


def test_a_clip_stays_mostly_itself() -> None:
    for which in ("mixup", "cutmix"):
        for _, targets in mixed_pairs(**{which: 0.4}):
            assert targets.argmax(dim=1).tolist() == [0, 1]


def test_with_both_each_batch_takes_one() -> None:
    kinds = {len(mixed[0].unique()) for mixed, _ in mixed_pairs(mixup=1.0, cutmix=1.0)}
    assert kinds == {1, 2}, "one grey when blended, two when pasted"


@pytest.mark.parametrize("which", ["mixup", "cutmix"])
def test_padding_stays_zero(which: str) -> None:
    for mixed, _ in mixed_pairs(**{which: 1.0}, lengths=(2, 5)):
        assert not mixed[0, 2:].any()


def test_the_partner_is_stretched_to_the_clips_length() -> None:
    lengths = [6, 3]
    clips = plain_clips([0, 0], lengths)
    for number in range(3):
        clips[1, number] = 30 * (number + 1)  # frame numbers of the shorter one, as greys
    for seed in range(40):
        torch.manual_seed(seed)
        mixed, targets = mix_clips(
            clips, torch.tensor(lengths), torch.eye(2), mixup=1.0, cutmix=0.0
        )
        share = float(targets[0, 1])
        if share > 0.2:
            shown = [round(float(frame.float().mean()) / share / 30) for frame in mixed[0]]
            assert shown == [1, 1, 2, 2, 3, 3]
            return
    raise AssertionError("no seed mixed the two")


def test_numbers_are_blended_as_pixels_are() -> None:
    torch.manual_seed(0)
    targets = torch.tensor([[0.0], [10.0]])
    mixed, blended = mix_clips(
        plain_clips([0, 200], [2, 2]), torch.tensor([2, 2]), targets, mixup=1.0, cutmix=0.0
    )
    torch.testing.assert_close(mixed[:, 0, 0, 0, 0] / 200, blended[:, 0] / 10, atol=0.003, rtol=0)


def test_the_same_seed_mixes_alike_and_leaves_the_batch_as_it_was() -> None:
    clips, lengths = plain_clips([0, 90, 200], [3, 3, 3]), torch.tensor([3, 3, 3])
    before, results = clips.clone(), []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(mix_clips(clips, lengths, torch.eye(3), mixup=0.5, cutmix=0.5))
    assert torch.equal(clips, before)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_a_box_has_no_share_of_a_number() -> None:
    with pytest.raises(ConfigError, match=r"train\.cutmix is 1\.0.*regression.*train\.mixup"):
        check_mixing(TrainConfig(cutmix=1.0), task="regression", streams=("rgb",))
    check_mixing(TrainConfig(mixup=1.0), task="regression", streams=("rgb",))
    check_mixing(TrainConfig(cutmix=1.0), task="single", streams=("rgb",))


def test_a_led_in_clip_stands_whole_behind_the_end_of_another() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([3, 2, 4, 1])
    clips = torch.zeros(4, 4, 3, 2, 2, dtype=torch.uint8)
    for row, length in enumerate(lengths.tolist()):
        for step in range(length):
            clips[row, step] = 10 * (row + 1) + step
    seen_led = set()
    for _ in range(40):
        led, longer = lead_in(clips, lengths, share=0.5)
        for row, length in enumerate(lengths.tolist()):
            ahead = int(longer[row]) - length
            shown = led[row, : int(longer[row]), 0, 0, 0].tolist()
            assert shown[ahead:] == [10 * (row + 1) + step for step in range(length)]
            assert (led[row, int(longer[row]) :] == 0).all()
            if ahead:
                (partner,) = {value // 10 for value in shown[:ahead]}
                assert partner != row + 1
                # Its end, up to the whole of it.
                last = 10 * partner + int(lengths[partner - 1]) - 1
                assert shown[:ahead] == list(range(last - ahead + 1, last + 1))
                assert ahead <= int(lengths[partner - 1])
            seen_led.add((row, bool(ahead)))
    assert len(seen_led) == 8  # each with and without
    unchanged, same = lead_in(clips, lengths, share=0.0)
    torch.testing.assert_close(unchanged, clips)
    torch.testing.assert_close(same, lengths)


def test_what_leads_a_clip_in_shows_no_stream_that_it_lacks() -> None:
    torch.manual_seed(0)
    has = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    clips = torch.cat([has[:, None].expand(3, 4, 2), torch.randn(3, 4, 5)], dim=2)
    lengths, longest = torch.tensor([4, 3, 4]), 0
    for _ in range(20):
        led, longer = lead_in(clips, lengths, share=1.0, num_streams=2)
        for row, length in enumerate(lengths.tolist()):
            ahead = int(longer[row]) - length
            longest = max(longest, ahead)
            assert torch.equal(led[row, ahead : ahead + length], clips[row, :length])
            assert (led[row, :ahead, :2] <= has[row]).all()
    assert longest == 4


def test_a_lead_in_does_not_make_a_missing_stream_of_late_fusion_be_there() -> None:
    network = joined_network_of("late").train()
    leave = torch.tensor([[True, False, True], [True, True, True]])
    clips, lengths = without_streams(clips_of(batch=2), leave), torch.tensor([5, 5])
    torch.manual_seed(1)
    led, longer = lead_in(clips, lengths, share=1.0, num_streams=3)
    assert int(longer[0]) > 5
    assert torch.equal(which_are_there(network(led, longer)), leave)


def test_lead_ins_and_chunks_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"train.lead_in is 0\.5 and train.chunk is 4"):
        TrainConfig(lead_in=0.5, chunk=4)
    with pytest.raises(ConfigError, match="a share from 0 to 1"):
        TrainConfig(lead_in=1.5)


@pytest.mark.parametrize("ahead", [{"bidirectional": True}, {"shift": "both"}])
def test_lead_ins_are_refused_for_models_that_look_ahead(ahead: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"train\.lead_in is 0\.5.*cannot step"):
        RunConfig(train=TrainConfig(lead_in=0.5), model=ModelConfig(temporal="gru", **ahead))


@pytest.mark.parametrize("key", ["mixup", "cutmix"])
def test_only_pictures_are_mixed(key: str) -> None:
    config = TrainConfig(**{key: 0.2})
    with pytest.raises(ConfigError, match=rf"train\.{key} is 0\.2.*read as rgb, audio.*{key} 0"):
        check_mixing(config, task="single", streams=("rgb", "audio"))
