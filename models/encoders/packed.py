"""Looking at the frame before, over the packed frames of whole clips.

Encoders get the real frames of all clips one behind the other, without padding: (N, ...) and the
lengths (B,) that sum to N. Shifts and differences take each frame's predecessor from there, and
from a state where a clip goes on from an earlier chunk.
"""

import torch
from torch import Tensor


def previous_frames(
    frames: Tensor, lengths: Tensor, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Of each frame the one before it in its own clip.

    Args:
        frames: (N, ...) packed.
        lengths: (B,) int64, 0 where a clip has no frame here.
        before: (B, ...) what each clip showed last; None where the clips begin, which then count
            as having stood still: the first frame's predecessor is itself.

    Returns:
        Predecessors (N, ...), and what each clip showed last by now (B, ...).
    """
    if before is not None and not len(frames):
        return frames, before  # every clip has ended before
    lengths = lengths.to(frames.device)
    ends = lengths.cumsum(0)
    present = lengths > 0
    starts, last = (ends - lengths)[present], (ends - 1).clamp(min=0)
    first = frames[starts] if before is None else before[present].to(frames.dtype)
    previous = torch.cat([frames[:1], frames[:-1]]).index_copy(0, starts, first)
    shown = frames[last]
    if before is not None:
        shape = (-1, *[1] * (frames.ndim - 1))
        shown = torch.where(present.view(shape), shown, before.to(frames.dtype))
    return previous, shown


def next_frames(frames: Tensor, lengths: Tensor) -> Tensor:
    """Of each frame (N, ...) the one behind it in its own clip, zero behind the last."""
    ends = lengths.to(frames.device).cumsum(0) - 1
    zeros = frames.new_zeros(len(ends), *frames.shape[1:])
    return torch.cat([frames[1:], frames[:1]]).index_copy(0, ends, zeros)
