"""Mixup and cutmix over clips: two clips and their targets become one. Lead-ins for streams.

mixup    x = l x_a + (1 - l) x_b                       Zhang et al. (2018), section 2
cutmix   x = x_a, with a box of x_b over all frames    Yun et al. (2019), section 3.1

The targets are mixed by the same share l, drawn from Beta(alpha, alpha) for each batch. Here l is
never below a half (l and 1 - l are alike, with the clips in each other's places), so that a
clip's own label stays the one of which it shows most.

lead-in  x = [the end of x_b; x_a]      the target stays that of x_a

On a stream nothing tells when an action begins: a state holds what was before it too. A model that
saw each clip alone in training takes that for a part of the action.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cliptide.configs.errors import ConfigError
from cliptide.configs.training import TrainConfig
from cliptide.models.encoders.joined import without_streams


def check_mixing(config: TrainConfig, *, task: str, streams: Sequence[str]) -> None:
    """Refuse what means nothing for a task (`single`, ...), or for what samples consist of.

    Raises:
        ConfigError: Cutmix with regression, or either with other streams than pictures.
    """
    if (config.mixup or config.cutmix) and streams != ("rgb",):
        key = "mixup" if config.mixup else "cutmix"
        raise ConfigError(
            f"train.{key} is {getattr(config, key)}, which blends pictures, but the samples are "
            f"read as {', '.join(streams)}. Set train.{key} 0."
        )
    if config.cutmix and task == "regression":
        raise ConfigError(
            f"train.cutmix is {config.cutmix}, but the task is regression: a pasted box has no "
            "share of a number. Set train.cutmix 0; train.mixup blends numbers too."
        )


def mix_clips(
    clips: Tensor, lengths: Tensor, targets: Tensor, *, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix each clip with another of its batch; what is drawn comes from torch's own generator.

    The partner's frames are stretched or squeezed to the clip's length, so that the whole of its
    motion is seen.

    Args:
        clips: (B, T, 3, H, W) uint8 RGB, padded at the end of T; left as they are.
        lengths: (B,) int64, real frames of each clip, 1..T.
        targets: (B, K) float: shares of the classes, labels as 0 and 1, or numbers.
        mixup: Alpha of the Beta distribution; 0 never blends.
        cutmix: Alpha of the Beta distribution; 0 never pastes. With both, one is drawn.

    Returns:
        Mixed clips, uint8 and padded as before, and their targets.
    """
    pasting = cutmix > 0 and (mixup == 0 or bool(torch.rand(()) < 0.5))
    alpha = cutmix if pasting else mixup
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(share, 1 - share)
    partners = torch.randperm(len(clips))
    top, bottom, left, right = _box(1 - share, *clips.shape[-2:]) if pasting else (0, 0, 0, 0)
    if pasting:
        share = 1 - (bottom - top) * (right - left) / (clips.shape[-2] * clips.shape[-1])
    mixed = clips.clone()
    # One clip at a time: a whole batch in float would take four times its memory.
    for row, partner in enumerate(partners.tolist()):
        own, other = int(lengths[row]), int(lengths[partner])
        stretched = clips[partner, torch.arange(own) * other // own]
        if pasting:
            box = (..., slice(top, bottom), slice(left, right))
            mixed[row, :own][box] = stretched[box]
        else:
            blend = torch.lerp(stretched.float(), clips[row, :own].float(), share)
            mixed[row, :own] = blend.round().to(torch.uint8)
    return mixed, torch.lerp(targets[partners], targets, share)


def lead_in(
    clips: Tensor, lengths: Tensor, *, share: float, num_streams: int = 1
) -> tuple[Tensor, Tensor]:
    """Put the end of another clip of the batch in front of a share of the clips.

    How much of it is drawn evenly, up to the whole; what is drawn comes from torch's own generator.

    Args:
        clips: (B, T, ...) frames or features, padded at the end of T; left as they are.
        lengths: (B,) int64, real frames of each clip, 1..T.
        share: Of the clips that are led in, 0 to 1.
        num_streams: S; steps of several are joined, and what leads a clip in shows none that it
            lacks: late fusion would take a stream for there that was there once.

    Returns:
        Clips (B, T', ...) padded with zeros, and their lengths.
    """
    partners = torch.randperm(len(clips))
    chosen = torch.rand(len(clips)) < share
    drawn = (torch.rand(len(clips)) * lengths[partners]).long() + 1
    # A clip behind itself would only be longer.
    before = torch.where(chosen & (partners != torch.arange(len(clips))), drawn, 0)
    longer = lengths + before
    led = clips.new_zeros(len(clips), int(longer.max()), *clips.shape[2:])
    for row, partner in enumerate(partners.tolist()):
        own, other, ahead = int(lengths[row]), int(lengths[partner]), int(before[row])
        led[row, :ahead] = clips[partner, other - ahead : other]
        led[row, ahead : ahead + own] = clips[row, :own]
    if num_streams > 1:
        led = without_streams(led, clips[:, 0, :num_streams] > 0)
    return led, longer


def _box(area: float, height: int, width: int) -> tuple[int, int, int, int]:
    """A box of that share of a frame, anywhere, cut at the borders (Yun et al. 2019, eq. 2)."""
    rows, columns = round(height * area**0.5), round(width * area**0.5)
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    top, left = y - rows // 2, x - columns // 2
    return max(top, 0), min(top + rows, height), max(left, 0), min(left + columns, width)
