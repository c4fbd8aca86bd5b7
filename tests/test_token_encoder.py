"""The encoder of tokens: shapes, what nothing means, and that it tells orders apart."""

import pytest
import torch

from cliptide.models.encoders.tokens import TokenEncoder


def build(window: int = 7, vocabulary: int = 30, dim: int = 8) -> TokenEncoder:
    torch.manual_seed(0)
    return TokenEncoder((window,), vocabulary=vocabulary, dim=dim).eval()


def random_tokens(count: int, window: int = 7) -> torch.Tensor:
    return torch.randint(1, 30, (count, window), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_windows_become_maps_and_one_vector_each(window: int) -> None:
    encoder = build(window)
    maps, pooled = encoder(random_tokens(5, window), torch.tensor([2, 3]))
    assert maps.shape == (5, encoder.channels, 1, window)
    assert pooled.shape == (5, encoder.dim)
    assert maps.dtype == pooled.dtype == torch.float32


def test_stepping_equals_encoding_at_once() -> None:
    encoder, tokens = build(), random_tokens(4)
    whole = encoder(tokens, torch.tensor([4])).pooled
    state, parts = None, []
    for token in tokens:
        encoded, state = encoder.step(token[None], state)
        parts.append(encoded.pooled)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_numbers_may_come_as_floats() -> None:
    encoder, tokens = build(), random_tokens(3)
    assert torch.equal(encoder.encode(tokens).pooled, encoder.encode(tokens.float()).pooled)


def test_nothing_behind_a_short_text_changes_nothing() -> None:
    tokens = random_tokens(3, window=4)
    wide = torch.nn.functional.pad(tokens, (0, 3))
    narrow, padded = build(4).encode(tokens), build(7).encode(wide)
    torch.testing.assert_close(narrow.pooled, padded.pooled)
    assert not padded.maps[..., 4:].any()


def test_the_order_within_a_window_is_seen() -> None:
    encoder, tokens = build(), random_tokens(3)
    assert not torch.allclose(encoder.encode(tokens).pooled, encoder.encode(tokens.flip(1)).pooled)


def test_learning_moves_all_numbers_but_that_of_nothing() -> None:
    encoder = build(window=3, vocabulary=3).train()
    encoder.encode(torch.tensor([[0, 1, 2], [2, 1, 0]])).pooled.square().sum().backward()
    gradient = encoder.embedding.weight.grad
    assert gradient is not None
    assert gradient.abs().sum(1).gt(0).tolist() == [False, True, True]


def test_blank_steps_are_ones_it_can_take() -> None:
    encoder = build()
    blank = encoder.blank(2, size=(1, 1))
    assert blank.shape == (2, 7)
    assert blank.dtype == torch.int64
    assert torch.isfinite(encoder(blank, torch.tensor([2])).pooled).all()


def test_it_learns_which_of_two_neighbours_comes_first() -> None:
    torch.manual_seed(0)
    encoder, head = build(vocabulary=12, dim=16).train(), torch.nn.Linear(16, 1)
    tokens = torch.randint(4, 12, (64, 7), generator=torch.Generator().manual_seed(2))
    label = torch.arange(64) % 2
    tokens[:, 2], tokens[:, 3] = 2 + label, 3 - label
    weights = [*encoder.parameters(), *head.parameters()]
    for _ in range(60):
        logits = head(encoder.encode(tokens).pooled).squeeze(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, label.float())
        for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.data -= 0.5 * slope
    assert ((logits > 0) == label.bool()).float().mean() == 1
