"""Whether two models differ on the very same videos, beyond what chance would do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test of two models on the same videos.

    Attributes:
        name: `McNemar` or `Wilcoxon`.
        p: The probability of so great a difference, or a greater one, if there were none.
        wins: Videos on which the second model does better.
        losses: Videos on which the first does better.
        direction: 1 where the second does better by what is tested, -1 where the first, else 0.
    """

    name: str
    p: float
    wins: int
    losses: int
    direction: int


def mcnemar(first: Bools, second: Bools) -> PairedTest:
    """Test whether two models are right equally often, by the videos that one alone has right.

    McNemar, Psychometrika 12 (1947), in its exact form: under no difference each such video
    falls to either model like a coin.

    Args:
        first: (N), whether the first model is right.
        second: (N), whether the second is.
    """
    from scipy.stats import binomtest

    wins = int((second & ~first).sum())
    losses = int((first & ~second).sum())
    p = float(binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0
    return PairedTest("McNemar", p, wins, losses, int(np.sign(wins - losses)))


def wilcoxon(first: Floats, second: Floats) -> PairedTest:
    """Test whether two models err equally much (Wilcoxon's signed ranks, Biometrics 1, 1945).

    Args:
        first: (N), the first model's error on each video, lower is better.
        second: (N), the second's.
    """
    differences = first - second
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    if not wins + losses:
        return PairedTest("Wilcoxon", 1.0, 0, 0, 0)
    from scipy.stats import rankdata
    from scipy.stats import wilcoxon as signed_ranks

    # Videos without a difference say nothing, and beside them scipy takes no exact test.
    different = differences[differences != 0]
    p = float(signed_ranks(different).pvalue)
    # The ranks may favour the model that wins fewer videos, but by more.
    favour = float((np.sign(different) * rankdata(np.abs(different))).sum())
    return PairedTest("Wilcoxon", p, wins, losses, int(np.sign(favour)))


def holm(ps: Sequence[float]) -> list[float]:
    """Raise p-values so that all of them together err no more often than one alone.

    Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    raised = [1.0] * len(ps)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, ps[place] * (len(ps) - rank)))
        raised[place] = least
    return raised
