"""What drove an answer: known by construction, and found."""

import numpy as np
import pytest
import torch
from test_fusion import FUSIONS, clips_of
from test_fusion import network_of as joined_network_of

from cliptide.app.inference.explain import MOST_MOMENTS, explain
from cliptide.app.inference.scoring import scores_of
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer
from cliptide.models.encoders.joined import without_streams


def network_of(**model):
    torch.manual_seed(0)
    config = ModelConfig(**{"encoder": "tiny", "width": 0.25, "hidden": 8, **model})
    return build_recognizer(config, num_classes=3, load_weights=False).eval()


def clip_of(count, side=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 255, (count, 3, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    "model",
    [{}, {"bidirectional": True}, {"shift": "causal"}, {"temporal": "convgru"}, {"freeze": True}],
)
def test_scores_over_time_are_those_of_the_clip_cut_short(model):
    network, clip = network_of(**model), clip_of(6)
    drivers = explain(network, clip, output=1, task="single", temperature=2.0)
    assert drivers.over_time.shape == (6, 3)
    for end in range(1, 7):
        with torch.inference_mode():
            outputs = network(clip[None, :end], torch.tensor([end]))
        expected = scores_of(outputs, task="single", temperature=2.0)[0]
        np.testing.assert_allclose(drivers.over_time[end - 1], expected, atol=1e-5)


def test_occlusion_is_what_the_score_loses_without_the_frame():
    network, clip = network_of(), clip_of(6)
    drivers = explain(network, clip, output=2, task="single")
    rest = torch.cat([clip[:3], clip[4:]])
    with torch.inference_mode():
        whole, without = (
            scores_of(network(c[None], torch.tensor([len(c)])), task="single")[0, 2]
            for c in (clip, rest)
        )
    assert drivers.occlusion[3] == pytest.approx(whole - without, abs=1e-6)


def test_the_frame_that_decides_is_the_one_that_is_missed():
    # The mean over bright and dark frames: one bright frame moves it, and nothing else does.
    network = network_of(temporal="none", summary="mean")
    clip = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    clip[5] = 255
    drivers = explain(network, clip, output=0, task="single")
    assert np.abs(drivers.occlusion).argmax() == 5


def test_a_single_frame_has_nothing_to_leave_out():
    drivers = explain(network_of(), clip_of(1), output=0, task="single")
    assert drivers.occlusion.tolist() == [0.0] and drivers.moments.tolist() == [0]


def test_long_clips_are_looked_at_in_a_few_moments_and_leave_out_neighbours_too():
    network, clip = network_of(), clip_of(24)
    drivers = explain(network, clip, output=0, task="single")
    moments = drivers.moments.tolist()
    assert len(moments) == MOST_MOMENTS and (moments[0], moments[-1]) == (0, 23)
    at = moments.index(12)
    rest = torch.cat([clip[:11], clip[14:]])  # three of 24 frames, with the moment in their middle
    with torch.inference_mode():
        whole, without, early = (
            scores_of(network(c[None], torch.tensor([len(c)])), task="single")[0, 0]
            for c in (clip, rest, clip[:13])
        )
    assert drivers.occlusion[at] == pytest.approx(whole - without, abs=1e-6)
    assert drivers.over_time[at, 0] == pytest.approx(early, abs=1e-6)


@pytest.mark.parametrize("model", [{}, {"freeze": True}])
def test_the_map_is_that_of_the_gradients_worked_out_by_hand(model):
    """A linear head on the mean over frames: the gradient of each map is its head's weight."""
    network = network_of(temporal="none", summary="mean", pool="mean", dropout=0.0, **model)
    clip = clip_of(4, side=64)
    drivers = explain(network, clip, output=1, task="single")
    with torch.no_grad():
        maps = network.encoder(clip, torch.tensor([4])).maps
        linear = [m for m in network.head.modules() if isinstance(m, torch.nn.Linear)]
        assert len(linear) == 1, "the head is one layer, so that its gradient is its weight"
        expected = torch.relu((linear[0].weight[1][None, :, None, None] * maps).sum(dim=1))
    np.testing.assert_allclose(drivers.cam, (expected / expected.max()).numpy(), atol=1e-4)
    frozen = model.get("freeze", False)
    assert all(p.requires_grad != frozen for p in network.encoder.parameters())


@pytest.mark.parametrize("model", [{"temporal": "convlstm"}, {"shift": "causal"}])
def test_every_kind_of_network_has_a_map(model):
    drivers = explain(network_of(**model), clip_of(4, side=64), output=1, task="single")
    assert drivers.cam.shape[0] == 4 and drivers.cam.min() >= 0
    assert drivers.cam.max() in (0, pytest.approx(1))


@pytest.mark.parametrize("task", ["multi", "regression"])
def test_other_tasks_are_explained_in_their_own_scores(task):
    network, clip = network_of(), clip_of(5)
    drivers = explain(network, clip, output=0, task=task)
    with torch.inference_mode():
        outputs = network(clip[None], torch.tensor([5]))
    np.testing.assert_allclose(drivers.over_time[-1], scores_of(outputs, task=task)[0], atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_several_streams_are_explained_without_a_map_also_where_the_first_is_missing(fusion):
    network = joined_network_of(fusion).eval()
    (clip,) = without_streams(clips_of(batch=1), torch.tensor([[False, True, True]]))
    drivers = explain(network, clip, output=1, task="single")
    with torch.inference_mode():
        expected = scores_of(network(clip[None], torch.tensor([5])), task="single")[0]
    np.testing.assert_allclose(drivers.over_time[-1], expected, atol=1e-5)
    assert drivers.cam is None
