"""Back-propagation through time in chunks: the same scores, memory bounded by a chunk."""

import copy
from typing import get_args, get_type_hints

import pytest
import torch
from peak_memory import peak_bytes
from torch import Tensor, nn

from cliptide.app.training.chunks import check_chunk, chunk_bounds, score_in_chunks
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer
from cliptide.models.recognizer import Recognizer

TEMPORALS = get_args(get_type_hints(ModelConfig)["temporal"])
SUMMARIES = ("last", "mean", "max", "attention")


def build(**keys: object) -> Recognizer:
    torch.manual_seed(0)
    config = ModelConfig(**{"width": 0.25, "hidden": 8, **keys})  # type: ignore[arg-type]
    return build_recognizer(config, num_classes=2)


def some_clips(lengths: list[int], side: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (len(lengths), max(lengths), 3, side, side)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return clips, torch.tensor(lengths)


def learn(network: Recognizer, clips: Tensor, lengths: Tensor, *, chunk: int) -> None:
    targets = torch.arange(len(clips)) % 2
    torch.manual_seed(2)
    for scored in score_in_chunks(network, clips, lengths, chunk=chunk):
        loss = nn.functional.cross_entropy(scored.logits[scored.active], targets[scored.active])
        (loss * scored.share).backward()


@pytest.mark.parametrize(
    ("lengths", "chunk", "bounds"),
    [
        ([4, 2], 8, [(0, 4)]),
        ([8, 2], 4, [(0, 4), (4, 8)]),
        ([10, 6], 4, [(0, 4), (4, 8), (8, 10)]),
        ([9, 6], 4, [(0, 4), (4, 9)]),  # a lone frame has nothing to be normalised by
        ([9, 9], 4, [(0, 4), (4, 8), (8, 9)]),
        ([1], 2, [(0, 1)]),
    ],
)
def test_a_batch_is_cut_into_chunks(
    lengths: list[int], chunk: int, bounds: list[tuple[int, int]]
) -> None:
    assert chunk_bounds(torch.tensor(lengths), chunk=chunk) == bounds


@pytest.mark.parametrize("summary", SUMMARIES)
@pytest.mark.parametrize("keys", [{}, {"shift": "causal", "motion": "both"}])
def test_the_last_chunk_scores_the_whole_clips(summary: str, keys: dict[str, str]) -> None:
    network = build(summary=summary, **keys).eval()
    clips, lengths = some_clips([7, 3, 5])
    with torch.no_grad():
        *_, last = score_in_chunks(network, clips, lengths, chunk=3)
        torch.testing.assert_close(last.logits, network(clips, lengths), atol=1e-5, rtol=0)


def test_clips_that_have_ended_add_nothing_and_the_shares_sum_to_one() -> None:
    network = build()
    clips, lengths = some_clips([8, 4])
    chunks = list(score_in_chunks(network, clips, lengths, chunk=4))
    assert [scored.active.tolist() for scored in chunks] == [[True, True], [True, False]]
    assert [scored.share for scored in chunks] == [8 / 12, 4 / 12]


@pytest.mark.parametrize("chunk", [5, 100])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_a_chunk_that_holds_the_clips_gives_their_gradient(chunk: int, summary: str) -> None:
    whole = build(summary=summary, shift="causal", motion="both").train()
    cut = copy.deepcopy(whole)
    clips, lengths = some_clips([5, 3])
    learn(whole, clips, lengths, chunk=0)
    learn(cut, clips, lengths, chunk=chunk)
    for (name, one), other in zip(whole.named_parameters(), cut.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name


@pytest.mark.parametrize("temporal", TEMPORALS)
def test_every_temporal_part_learns_in_chunks(temporal: str) -> None:
    network = build(temporal=temporal, summary="mean").train()
    clips, lengths = some_clips([7, 3])
    learn(network, clips, lengths, chunk=3)
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in network.temporal.parameters()
    )
    network.eval()
    with torch.no_grad():
        *_, last = score_in_chunks(network, clips, lengths, chunk=3)
        torch.testing.assert_close(last.logits, network(clips, lengths), atol=1e-5, rtol=0)


@pytest.mark.parametrize("summary", SUMMARIES)
def test_no_gradient_flows_into_the_chunk_before(summary: str) -> None:
    network = build(summary=summary, shift="causal", motion="both").eval()
    clips, lengths = some_clips([6, 6])
    for number, scored in enumerate(score_in_chunks(network, clips, lengths, chunk=3)):
        loss = scored.logits.sum()
        loss.backward()  # fails where a freed graph is entered a second time
        assert number < 2


def test_memory_is_that_of_a_chunk_however_long_the_clip() -> None:
    network = build().train()
    peaks = {}
    for frames, chunk in [(16, 8), (16, 0), (128, 8), (128, 0)]:
        clips, lengths = some_clips([frames], side=32)
        learn(network, clips, lengths, chunk=chunk)
        peaks[frames, chunk] = peak_bytes(
            lambda c=clips, n=lengths, k=chunk: learn(network, c, n, chunk=k)
        )
    assert peaks[128, 8] < 1.3 * peaks[16, 8]
    assert peaks[128, 0] > 4 * peaks[16, 0]
    assert peaks[128, 8] < 0.2 * peaks[128, 0]


@pytest.mark.parametrize("keys", [{"bidirectional": True}, {"shift": "both"}])
def test_models_that_look_ahead_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"train\.chunk is 8.*still to come.*Set train\.chunk 0"):
        check_chunk(build(**keys), 8)
    check_chunk(build(**keys), 0)
