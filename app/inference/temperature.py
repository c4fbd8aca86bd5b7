"""The temperature that makes scores as sure as they are right."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def scaled(scores: Floats, temperature: float) -> Floats:
    """Give scores another temperature: p^(1/T), summing to 1 again.

    A video's scores are made as sure as they are right by the temperature of the model file
    (Guo et al., "On Calibration of Modern Neural Networks", 2017; here on the mean over clips).

    Args:
        scores: (..., K), each row sums to 1; 0 stays 0.
        temperature: Above 0; more than 1 makes them less sure. 1/T undoes T, as far as no score
            has become too small for a number.

    Returns:
        float64, of the same shape; the likeliest class of each row is the same.
    """
    if temperature == 1.0:
        return scores
    from scipy.special import softmax

    with np.errstate(divide="ignore"):  # the logarithm of 0 leaves as 0
        logits = np.log(scores.astype(np.float64)) / temperature
    found: Floats = np.asarray(softmax(logits, axis=-1))
    # Scores that differ in the last digits may come out equal, and then an earlier class wins.
    best = scores.argmax(axis=-1)[..., None]
    lost = found.argmax(axis=-1)[..., None] != best
    raised = np.where(lost, np.nextafter(found.max(axis=-1, keepdims=True), 2.0), 0.0)
    np.put_along_axis(
        found, best, np.maximum(np.take_along_axis(found, best, axis=-1), raised), axis=-1
    )
    return found
