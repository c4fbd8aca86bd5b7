"""Whether frames come at a variable rate. Pure."""

import numpy as np
from numpy.typing import NDArray

# A gap counts as another when it differs from the usual one by more than this share of it.
_OFF_SHARE = 0.1
# A single longer gap (a cut, a dropped frame) does not make a rate variable.
_LEAST_OFF = 2
_LEAST_SHARE = 0.02


def is_uneven(times_s: NDArray[np.float64], *, tick_s: float) -> bool:
    """Whether the gaps between frames differ by more than rounding.

    Args:
        times_s: (N,) presentation times, seconds, never decreasing.
        tick_s: The unit of the file's time stamps, seconds; gaps may differ by two of them.
    """
    gaps_s = np.diff(times_s)
    if gaps_s.size < _LEAST_OFF:
        return False
    usual_s = float(np.median(gaps_s))
    slack_s = max(_OFF_SHARE * usual_s, min(2 * tick_s, 0.5 * usual_s)) + 1e-9
    num_off = int(np.count_nonzero(np.abs(gaps_s - usual_s) > slack_s))
    return num_off >= max(_LEAST_OFF, _LEAST_SHARE * gaps_s.size)
