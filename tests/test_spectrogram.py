"""The encoder of sound: shapes, standardising, and that it keeps what sounds where."""

import pytest
import torch

from cliptide.models.encoders.spectrogram import SpectrogramEncoder


def made(window: int = 24, mels: int = 64, dim: int = 32) -> SpectrogramEncoder:
    torch.manual_seed(0)
    return SpectrogramEncoder((window, mels), dim=dim).eval()


@pytest.mark.parametrize(("window", "mels"), [(4, 4), (24, 64), (5, 40), (100, 7)])
def test_steps_become_maps_of_bands_by_columns_and_one_vector(window, mels):
    encoder = made(window, mels)
    encoded = encoder(torch.randn(3, window, mels), torch.tensor([1, 2]))
    assert encoded.maps.shape == (3, encoder.channels, -(-mels // 8), -(-window // 8))
    assert encoded.pooled.shape == (3, encoder.dim)
    assert encoded.pooled.dtype == torch.float32


def test_a_step_is_seen_alone():
    encoder, steps = made(), torch.randn(5, 24, 64)
    together = encoder(steps, torch.tensor([5])).pooled
    alone = torch.cat([encoder.step(step[None], None)[0].pooled for step in steps])
    assert torch.allclose(together, alone, atol=1e-5)


def test_standardising_takes_away_loudness_and_spread_of_each_band():
    encoder, steps = made(), torch.randn(4, 24, 64)
    centre, spread = torch.linspace(-9, 3, 64), torch.linspace(1, 5, 64)
    plain = encoder(steps, torch.tensor([4])).pooled
    encoder.standardise_by(centre, spread)
    moved = encoder(steps * spread + centre, torch.tensor([4])).pooled
    assert torch.allclose(plain, moved, atol=1e-4)
    assert {"centre", "spread"} <= set(encoder.state_dict())


def test_a_band_that_never_varied_is_not_blown_up():
    encoder = made()
    encoder.standardise_by(torch.zeros(64), torch.zeros(64))
    assert encoder.get_buffer("spread").tolist() == [1.0] * 64
    assert encoder(torch.full((1, 24, 64), 9.0), torch.tensor([1])).pooled.isfinite().all()


def test_high_and_low_give_different_vectors():
    """With the same sound in another band, an average over all bands would give the same."""
    encoder = made()
    low, high = torch.zeros(1, 24, 64), torch.zeros(1, 24, 64)
    low[..., 12:16], high[..., 44:48] = 3.0, 3.0
    one, other = (encoder(steps, torch.tensor([1])).pooled for steps in (low, high))
    assert (one - other).abs().max() > 0.1
