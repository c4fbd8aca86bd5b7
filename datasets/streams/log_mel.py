"""Log-mel columns of sound: what the ear tells apart, every 10 ms.

The mel scale is Slaney's (Slaney 1998, Auditory Toolbox, as librosa has it by default): even steps
of 200/3 Hz up to 1000 Hz, even ratios above. Each triangle covers an area of one over Hz (the
norm that librosa calls "slaney"), so that white noise is about level over all bands.
"""

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.streams import COLUMN_S

WINDOW_S = 0.025
# Added to the power before the logarithm: below it is what one does not hear. At
# 16 kHz a tone of full scale is at a few hundred, the noise of 16-bit sound at 1e-9.
FLOOR = 1e-6
LOG_FLOOR = float(np.log(np.float32(FLOOR)))

_HZ_PER_MEL = 200 / 3
_LINEAR_UP_TO_HZ = 1000.0
_LINEAR_UP_TO = _LINEAR_UP_TO_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27
# Columns transformed at a time: an hour of sound then takes a few MB beside what goes in and out.
_BLOCK = 1024


def _mel_of(hz: float) -> float:
    if hz < _LINEAR_UP_TO_HZ:
        return hz / _HZ_PER_MEL
    return float(_LINEAR_UP_TO + np.log(hz / _LINEAR_UP_TO_HZ) / _LOG_STEP)


def _band_edges_hz(sample_rate: int, mels: int) -> NDArray[np.float64]:
    """(mels + 2,): where each band begins, has its middle, and ends, one band after another."""
    mel = np.linspace(0.0, _mel_of(sample_rate / 2), mels + 2)
    bent = _LINEAR_UP_TO_HZ * np.exp(_LOG_STEP * (mel - _LINEAR_UP_TO))
    return np.where(mel < _LINEAR_UP_TO, _HZ_PER_MEL * mel, bent)


def mel_filters(*, sample_rate: int, bins: int, mels: int) -> NDArray[np.float64]:
    """Triangles that sum the bins of a spectrum into bands of the mel scale; see the module.

    Args:
        sample_rate: Samples a second.
        bins: Of the spectrum, evenly from 0 to half the sample rate, both included; 2 or more.
        mels: Bands, 1 or more.

    Returns:
        (mels, bins) float64, weights of 0 or more.
    """
    edges_hz = _band_edges_hz(sample_rate, mels)
    away_hz = np.linspace(0.0, sample_rate / 2, bins) - edges_hz[:, None]
    widths_hz = np.diff(edges_hz)[:, None]
    rising = away_hz[:-2] / widths_hz[:-1]
    falling = -away_hz[2:] / widths_hz[1:]
    heights = 2 / (edges_hz[2:] - edges_hz[:-2])
    filters: NDArray[np.float64] = heights[:, None] * np.maximum(0, np.minimum(rising, falling))
    return filters


def fft_length(*, sample_rate: int, mels: int) -> int:
    """Samples that windows are filled up to by zeros: a power of two that leaves no band empty.

    Bands narrower than the distance of two bins may lie between them, and would tell nothing.
    """
    narrowest_hz = float(np.diff(_band_edges_hz(sample_rate, mels)).min())
    least = max(round(sample_rate * WINDOW_S), sample_rate / narrowest_hz, 2)
    return 1 << int(np.ceil(np.log2(least)))


def log_mel(samples: NDArray[np.float32], *, sample_rate: int, mels: int) -> NDArray[np.float32]:
    """Turn sound into columns, natural logarithm of the power in each band plus `FLOOR`.

    A column is about the Hann window of 25 ms around its moment, column i that at i * `COLUMN_S`;
    outside the samples is silence. There is a column for each moment before the sound's end.

    Args:
        samples: (n,) float32, about -1 to 1, n of 1 or more.
        sample_rate: Samples a second.
        mels: Bands.

    Returns:
        (columns, mels) float32, the lowest band first.
    """
    length = round(sample_rate * WINDOW_S)
    # A Hann window for spectra is one step short of symmetric (scipy calls it periodic).
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
    padded = fft_length(sample_rate=sample_rate, mels=mels)
    filters = mel_filters(sample_rate=sample_rate, bins=padded // 2 + 1, mels=mels)
    weights = np.ascontiguousarray(filters.T, dtype=np.float32)

    hop = sample_rate * COLUMN_S
    count = max(1, int(np.ceil(len(samples) / hop - 1e-9)))
    starts = np.rint(np.arange(count) * hop).astype(np.int64) - length // 2
    columns = np.empty((count, mels), np.float32)
    for at in range(0, count, _BLOCK):
        block = starts[at : at + _BLOCK]
        first, end = int(block[0]), int(block[-1]) + length
        part = samples[max(0, first) : end]
        before = max(0, -first)
        part = np.pad(part, (before, end - first - before - len(part)))
        windows = np.lib.stride_tricks.sliding_window_view(part, length)[block - first] * hann
        spectrum = np.fft.rfft(windows, n=padded, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        columns[at : at + _BLOCK] = np.log(power @ weights + np.float32(FLOOR))
    return columns
