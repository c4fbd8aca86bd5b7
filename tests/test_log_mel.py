"""Log-mel columns are librosa's, and stand where they say.

What `data/log_mel_reference.npz` holds was made by librosa 0.11.0 (a plain pip install) with:

    import librosa
    import numpy as np

    rng, t = np.random.default_rng(0), np.arange(16000) / 16000
    samples = 0.3 * np.sin(2 * np.pi * (200 * t + 1500 * t**2)) + 0.02 * rng.standard_normal(16000)
    samples[5000:7000] = 0
    samples = samples.astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16000, n_fft=512, win_length=400, hop_length=160, window="hann",
        center=True, pad_mode="constant", power=2.0, n_mels=64,
    )
    np.savez_compressed(
        "log_mel_reference.npz",
        samples=samples,
        columns=np.log(power.T + 1e-6),
        filters=librosa.filters.mel(sr=16000, n_fft=512, n_mels=64),
    )
"""

from pathlib import Path

import numpy as np
import pytest

from cliptide.datasets.streams.log_mel import LOG_FLOOR, fft_length, log_mel, mel_filters

REFERENCE = Path(__file__).parent / "data" / "log_mel_reference.npz"


def test_filters_are_those_of_librosa():
    with np.load(REFERENCE) as reference:
        ours = mel_filters(sample_rate=16000, bins=257, mels=64)
        assert np.abs(ours - reference["filters"]).max() < 1e-7


def test_columns_are_those_of_librosa():
    with np.load(REFERENCE) as reference:
        ours = log_mel(reference["samples"], sample_rate=16000, mels=64)
        # Librosa adds a column about the very end, where the sound is over.
        assert ours.shape == (100, 64)
        assert ours.dtype == np.float32
        assert np.abs(ours - reference["columns"][:100]).max() < 1e-3


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 44100])
def test_a_click_is_loudest_in_the_column_of_its_moment(sample_rate):
    """Also at rates of which 10 ms are no whole number of samples."""
    samples = np.zeros(3 * sample_rate, np.float32)
    samples[round(2.35 * sample_rate)] = 1.0
    columns = log_mel(samples, sample_rate=sample_rate, mels=40)
    assert columns.shape == (300, 40)
    assert columns.sum(axis=1).argmax() == 235


def test_blocks_leave_no_seams():
    samples = np.random.default_rng(0).standard_normal(16000 * 11).astype(np.float32)
    whole = log_mel(samples, sample_rate=16000, mels=16)
    later = log_mel(samples[160 * 500 :], sample_rate=16000, mels=16)
    # The first two windows lack what was before.
    assert np.array_equal(whole[502:], later[2:])


@pytest.mark.parametrize("mels", [4, 64, 128])
@pytest.mark.parametrize("sample_rate", [1000, 8000, 16000, 48000])
def test_no_band_is_empty(sample_rate, mels):
    bins = fft_length(sample_rate=sample_rate, mels=mels) // 2 + 1
    filters = mel_filters(sample_rate=sample_rate, bins=bins, mels=mels)
    assert filters.shape == (mels, bins)
    assert (filters.sum(axis=1) > 0).all()


@pytest.mark.parametrize(("num_samples", "columns"), [(1, 1), (160, 1), (161, 2), (16000, 100)])
def test_there_is_a_column_for_each_moment_before_the_end(num_samples, columns):
    silence = log_mel(np.zeros(num_samples, np.float32), sample_rate=16000, mels=8)
    assert silence.shape == (columns, 8)
    assert silence == pytest.approx(LOG_FLOOR, abs=1e-5)
