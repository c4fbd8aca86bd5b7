"""Clips in chunks with a carried state: back-propagation through time, cut to a chunk.

    frames   0 1 2 3 | 4 5 6 7 | 8 9        chunk 4, a clip of 10 frames and one of 6
             0 1 2 3 | 4 5 . . | . .        the second has ended in the third chunk
    state        ---->     ---->            carried on, without its gradient
    loss        4/16     6/16... shares of the real frames

Williams & Peng (1990), "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent
Network Trajectories": the truncated form, with as many steps back as forward.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

from cliptide.configs.errors import ConfigError
from cliptide.models.norms import lonely_norms_held
from cliptide.models.recognizer import Recognizer


class Scored(NamedTuple):
    """What the network says after a chunk.

    Attributes:
        logits: (B, K) of what was seen of each clip so far.
        active: (B,) bool, False where a clip had ended before this chunk.
        share: Of all real frames of the batch, those that lie in this chunk, 0 to 1.
    """

    logits: Tensor
    active: Tensor
    share: float


def score_in_chunks(
    network: Recognizer, clips: Tensor, lengths: Tensor, *, chunk: int, encoded: bool = False
) -> Iterator[Scored]:
    """Score clips chunk by chunk; no gradient flows from one chunk into the one before.

    Go backward through each before asking for the next: lonely batch norms are held meanwhile.

    Args:
        network: Must be able to step, unless `chunk` is 0.
        clips: (B, T, 3, H, W) uint8 RGB, padded at the end of T.
        lengths: (B,) int64, real frames of each clip, 1..T.
        chunk: Frames of a chunk; 0 takes the clips whole.
        encoded: Whether `clips` holds features in place of frames; see `Recognizer.forward`.

    Yields:
        The scores after each chunk; the last holds those of the whole clips.
    """
    if not chunk:
        with lonely_norms_held(network, lengths):
            yield Scored(network(clips, lengths, encoded=encoded), lengths > 0, 1.0)
        return
    state, total = None, int(lengths.sum())
    for start, end in chunk_bounds(lengths, chunk=chunk):
        here = (lengths - start).clamp(0, end - start)
        with lonely_norms_held(network, here):
            part = clips[:, start:end]
            logits, state = network.advance(part, here, state, encoded=encoded)
            state = detached(state)
            yield Scored(logits, here > 0, int(here.sum()) / total)


def chunk_bounds(lengths: Tensor, *, chunk: int) -> list[tuple[int, int]]:
    """First and last-plus-one frame of each chunk of a batch.

    A last chunk in which all clips together have a single frame joins the one before: batch-norm
    has nothing to compare it with.
    """
    longest = int(lengths.max())
    starts = list(range(0, longest, chunk))
    if len(starts) > 1 and (lengths - starts[-1]).clamp(min=0).sum() < 2:
        starts.pop()
    return list(zip(starts, [*starts[1:], longest], strict=True))


def detached(state: Any) -> Any:
    """A state without its gradient: its tensors, however tuples hold them."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple):
        parts = [detached(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if state is None or isinstance(state, int | float):
        return state
    raise TypeError(f"A state holds a {type(state).__name__}. Use tensors, tuples and None.")


def check_chunk(network: Recognizer, chunk: int) -> None:
    """Refuse chunks of a model that needs whole clips.

    Raises:
        ConfigError: It looks at frames that are still to come.
    """
    if chunk and not network.can_step:
        raise ConfigError(
            f"train.chunk is {chunk}, but this model looks at frames that are still to come "
            "(model.bidirectional true, or model.shift both). Set train.chunk 0, or "
            "model.bidirectional false and model.shift causal or none."
        )
