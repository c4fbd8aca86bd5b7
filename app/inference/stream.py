"""Scores of a live stream, frame by frame, with a context that stays bounded.

A model is right about what it learnt: clips of so many seconds. A state that is carried for ever
holds more past than any clip did, and its answers decay. So a few states run side by side, each
begun anew in its turn, and the oldest answers:

    state 0   0 1 2 3 4 5 6 7 | 0 1 2 3 4 5 ...       4 states, a context of 6 frames:
    state 1       0 1 2 3 4 5 6 7 | 0 1 2 3 ...       each lives for 8, one begins every 2,
    state 2           0 1 2 3 4 5 6 7 | 0 1 ...       and the oldest has seen the last 6 to 8
    state 3   . .         0 1 2 3 4 5 6 7 ...

Each frame goes through the encoder once and through the small recurrent part once for all states,
as a batch. Models that also look ahead (bidirectional) are given the last frames of a context again
and again, in overlapping chunks.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.engine import DIVERGED, Engine, Floats, Frames, State, scores_of
from cliptide.configs.errors import CliptideError

STATES = 4
CHUNKS = 8  # in a context, of models that look ahead: what is answered is at most so old
CHUNKS_ENCODED_ANEW = 2  # where even the encoder looks ahead, each costs a whole context


def context_frames(engine: Engine) -> int:
    """Frames of a stream that make up the context a model learnt."""
    return max(1, round(engine.info.context_s * engine.info.rate_fps))


class StreamScorer:
    """Scores a stream of frames at the model's rate; see the module.

    Args:
        engine: Runs the network.

    Attributes:
        delay_s: How old an answer may be, seconds: 0 for models that step with every frame.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        context = context_frames(engine)
        self._way: _Stepping | _Chunks
        self._way = _Stepping(engine, context) if engine.can_step else _Chunks(engine, context)
        self.delay_s = (self._way.every - 1) / engine.info.rate_fps

    def push(self, frame: Frames) -> NDArray[np.float64]:
        """Take in the next frame.

        Args:
            frame: (height, width, 3) uint8 RGB at the model's size.

        Returns:
            (K,) calibrated scores of what was seen so far, or the numbers of a regression.

        Raises:
            CliptideError: The network gives no numbers.
        """
        outputs = self._way.push(frame)
        if not np.isfinite(outputs).all():
            raise CliptideError(DIVERGED)
        info = self._engine.info
        rows = scores_of(outputs[None], task=info.task, temperature=info.temperature or 1.0)
        scores: NDArray[np.float64] = rows[0]
        return scores

    def restart(self) -> None:
        """Forget what was seen: the next frame has nothing to do with those before."""
        self._way.restart()


@dataclass
class _Stepping:
    """One encoder call and one step a frame."""

    engine: Engine
    context: int
    every: int = 1
    _seen: int = 0
    _encoder: State | None = None
    _state: State | None = None
    _ages: NDArray[np.int64] = field(default_factory=lambda: np.zeros(STATES, np.int64))

    def push(self, frame: Frames) -> Floats:
        features, self._encoder = self.engine.encode(frame[None], self._encoder)
        begin = self._begin()
        repeated = np.broadcast_to(features, (STATES, *features.shape[1:]))
        outputs, self._state = self.engine.step(np.ascontiguousarray(repeated), begin, self._state)
        self._ages = np.where(begin, 1, self._ages + 1)
        self._seen += 1
        oldest: Floats = outputs[self._ages.argmax()]
        return oldest

    def _begin(self) -> NDArray[np.bool_]:
        if not self._seen:
            self._ages = np.zeros(STATES, np.int64)
            return np.ones(STATES, bool)
        apart = max(1, -(-self.context // (STATES - 1)))
        turn, rest = divmod(self._seen, apart)
        begin = np.zeros(STATES, bool)
        begin[turn % STATES] = rest == 0
        return begin

    def restart(self) -> None:
        self._seen, self._encoder, self._state = 0, None, None


@dataclass
class _Chunks:
    """The last frames of a context, again and again."""

    engine: Engine
    context: int
    _seen: int = 0
    _encoder: State | None = None
    _outputs: Floats | None = None

    def __post_init__(self) -> None:
        chunks = CHUNKS if self.engine.can_encode else CHUNKS_ENCODED_ANEW
        self.every = max(1, self.context // chunks)
        self._last: deque[NDArray[Any]] = deque(maxlen=self.context)

    def push(self, frame: Frames) -> Floats:
        if self.engine.can_encode:
            features, self._encoder = self.engine.encode(frame[None], self._encoder)
            self._last.append(features[0])
        else:
            self._last.append(frame)
        self._seen += 1
        if self._outputs is None or self._seen % self.every == 0:
            given: NDArray[Any] = np.stack(list(self._last))
            if self.engine.can_encode:
                lengths = np.array([len(given)], np.int64)
                self._outputs = self.engine.score_features(given[None], lengths)[0]
            else:
                self._outputs = self.engine.score_clips([given])[0]
        return self._outputs

    def restart(self) -> None:
        self._seen, self._encoder, self._outputs = 0, None, None
        self._last.clear()
