"""What drove an answer: known by construction, and found."""

import numpy as np
import pytest
import torch

from cliptide.app.inference.explain import explain
from cliptide.app.inference.scoring import scores_of
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer


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


def test_long_clips_leave_out_neighbours_too_and_a_single_frame_nothing():
    network = network_of()
    assert explain(network, clip_of(1), output=0, task="single").occlusion.tolist() == [0.0]
    drivers = explain(network, clip_of(24), output=0, task="single")
    # Where the part would reach over the edge, it is the same part: three frames of 24.
    assert drivers.occlusion[0] == pytest.approx(drivers.occlusion[1])


@pytest.mark.parametrize("model", [{}, {"freeze": True}, {"temporal": "convlstm"}])
def test_the_map_shows_where_the_class_is_seen(model):
    """A head that likes one channel of the maps: the map of the class is that channel."""
    network, clip = network_of(**model), clip_of(4, side=64)
    drivers = explain(network, clip, output=1, task="single")
    assert drivers.cam.shape[0] == 4
    assert drivers.cam.min() >= 0
    assert drivers.cam.max() in (0, pytest.approx(1))
    frozen = model.get("freeze", False)
    assert all(p.requires_grad != frozen for p in network.encoder.parameters())


def test_the_map_lies_on_the_patch_that_drives_the_output():
    network = network_of(temporal="none", summary="mean")
    clip = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    clip[0, :, 40:, 40:] = torch.randint(0, 255, (3, 24, 24), dtype=torch.uint8)
    cams = [explain(network, clip, output=k, task="single").cam[0] for k in range(3)]
    # Some output grows with what is in that corner; its map is strongest there or beside it.
    corners = [c[c.shape[0] // 2 :, c.shape[1] // 2 :].max() for c in cams if c.max() > 0]
    assert max(corners) == pytest.approx(1)


@pytest.mark.parametrize("task", ["multi", "regression"])
def test_other_tasks_are_explained_in_their_own_scores(task):
    network, clip = network_of(), clip_of(5)
    drivers = explain(network, clip, output=0, task=task)
    with torch.inference_mode():
        outputs = network(clip[None], torch.tensor([5]))
    np.testing.assert_allclose(drivers.over_time[-1], scores_of(outputs, task=task)[0], atol=1e-5)
