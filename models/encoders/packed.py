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
    if torch.compiler.is_compiling():
        # Every clip has a frame here: a graph cannot choose clips by their lengths.
        starts, last = _bounds(frames, lengths)
        first = frames[starts] if before is None else before.to(frames.dtype)
        number = torch.arange(frames.shape[0], device=frames.device) - 1
        return frames[number.clamp(min=0)].index_copy(0, starts, first), frames[last]
    if before is not None and not len(frames):
        return frames, before  # every clip has ended before
    lengths = lengths.to(frames.device)
    starts, last = _bounds(frames, lengths)
    present = lengths > 0
    starts = starts[present]
    first = frames[starts] if before is None else before[present].to(frames.dtype)
    previous = torch.cat([frames[:1], frames[:-1]]).index_copy(0, starts, first)
    shown = frames[last]
    if before is not None:
        shape = (-1, *[1] * (frames.ndim - 1))
        shown = torch.where(present.view(shape), shown, before.to(frames.dtype))
    return previous, shown


def next_frames(frames: Tensor, lengths: Tensor) -> Tensor:
    """Of each frame (N, ...) the one behind it in its own clip, zero behind the last."""
    _, last = _bounds(frames, lengths.to(frames.device))
    zeros = frames.new_zeros(last.shape[0], *frames.shape[1:])
    if torch.compiler.is_compiling():
        # Slices would be of N - 1 frames, and so of none or one in a graph that holds for any N.
        number = torch.arange(frames.shape[0], device=frames.device) + 1
        behind = frames[number.clamp(max=frames.shape[0] - 1)]
    else:
        behind = torch.cat([frames[1:], frames[:1]])
    return behind.index_copy(0, last, zeros)


def _bounds(frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Where each clip's first and last frame lie (B,)."""
    if torch.compiler.is_compiling():
        # In a graph the padding lies among the frames (see `Recognizer.encode`).
        clips = lengths.shape[0]
        starts = torch.arange(clips, device=frames.device) * (frames.shape[0] // clips)
        return starts, starts + lengths - 1
    ends = lengths.cumsum(0)
    return ends - lengths, (ends - 1).clamp(min=0)
