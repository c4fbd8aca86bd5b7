"""The same clips in another order: what is tried, and what a model that knows no order says."""

import numpy as np
import pytest
import torch
from test_fusion import FUSIONS, STREAMS, clips_of
from test_fusion import network_of as joined_network_of

from cliptide.app.evaluation.baselines import Vectors, fit_baselines, gather_vectors
from cliptide.app.inference.probing import Probe, encoded_alone
from cliptide.app.inference.scoring import score_videos
from cliptide.configs.schema import ModelConfig
from cliptide.datasets.clips import Sample
from cliptide.datasets.loaders import Batch, collate
from cliptide.models.baselines import FrameBaselines, pooled_views
from cliptide.models.build import build_recognizer

CPU = torch.device("cpu")


def network_of(**model):
    torch.manual_seed(0)
    config = ModelConfig(**{"encoder": "tiny", "width": 0.25, "hidden": 8, **model})
    return build_recognizer(config, num_classes=3, load_weights=False).eval()


def batch_of(lengths=(5, 3, 1), side=32):
    generator = torch.Generator().manual_seed(1)
    clips = [
        torch.randint(0, 255, (length, 3, side, side), dtype=torch.uint8, generator=generator)
        for length in lengths
    ]
    return collate([Sample(i, (clip,), i % 3) for i, clip in enumerate(clips)])


@pytest.mark.parametrize("model", [{}, {"shift": "causal"}, {"temporal": "convgru"}])
def test_the_clips_as_they_are_get_the_same_scores_with_a_probe_and_without(model):
    network, batch = network_of(**model), batch_of()
    plain = [video.scores for video in score_videos(network, [batch], device=CPU)]
    probed = [v.scores for v in score_videos(network, [batch], device=CPU, probe=Probe(0))]
    np.testing.assert_allclose(probed, plain, atol=1e-6)


@pytest.mark.parametrize("model", [{}, {"shift": "causal"}, {"motion": "features"}])
def test_each_order_is_what_the_network_says_of_a_clip_made_in_that_order(model):
    network, batch = network_of(**model), batch_of(lengths=(5,))
    clip = batch.clips[0]
    with torch.inference_mode():
        _, tried = Probe(7).outputs(network, batch)
        order = np.random.default_rng((7, 0, 0)).permutation(5)
        made = {
            "shuffled": clip[torch.from_numpy(order)],
            "reversed": clip.flip(0),
            "one_frame": clip[2:3],
        }
        for name, frames in made.items():
            alone = network(frames[None], torch.tensor([len(frames)]))
            torch.testing.assert_close(tried[name], alone, atol=1e-5, rtol=1e-4)


def test_padding_is_never_shuffled_into_a_clip():
    network = network_of()
    short, padded = batch_of(lengths=(3,)), batch_of(lengths=(3, 9))
    with torch.inference_mode():
        alone = Probe(0).outputs(network, short)[1]
        beside = Probe(0).outputs(network, padded)[1]
    for name, outputs in alone.items():
        torch.testing.assert_close(beside[name][:1], outputs, atol=1e-5, rtol=1e-4)


def test_a_mean_over_frames_ignores_their_order():
    network, batch = network_of(temporal="none", summary="mean"), batch_of()
    with torch.inference_mode():
        as_they_are, tried = Probe(0).outputs(network, batch)
    torch.testing.assert_close(tried["shuffled"], as_they_are)
    torch.testing.assert_close(tried["reversed"], as_they_are)


def test_what_is_drawn_depends_on_the_seed_and_the_sample_alone():
    network, batch = network_of(), batch_of(lengths=(6, 6, 6))
    turned = Batch(
        batch.clips.flip(0),
        batch.lengths.flip(0),
        batch.labels.flip(0),
        batch.indices.flip(0),
        batch.samples[::-1],
    )
    with torch.inference_mode():
        first = Probe(3).outputs(network, batch)[1]["shuffled"]
        second = Probe(3).outputs(network, turned)[1]["shuffled"]
        other = Probe(4).outputs(network, batch)[1]["shuffled"]
    torch.testing.assert_close(second.flip(0), first, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(other, first)


@pytest.mark.parametrize("model", [{}, {"shift": "causal"}])
def test_frames_encoded_alone_know_nothing_of_their_neighbours(model):
    network, batch = network_of(**model), batch_of(lengths=(4,))
    changed = batch_of(lengths=(4,))
    changed.clips[0, 1:] = 0
    with torch.inference_mode():
        ours, theirs = encoded_alone(network, batch), encoded_alone(network, changed)
    torch.testing.assert_close(ours[0, 0], theirs[0, 0])


def joined_batch(*lacking: tuple[str, ...]) -> Batch:
    """Clips of three streams, each without those named."""
    clips = clips_of(batch=len(lacking))
    for clip, lacks in zip(clips, lacking, strict=True):
        for place, name in enumerate(STREAMS.names):
            clip[:, place] = float(name not in lacks)
    samples = [
        Sample(number, (clip[: 5 - number],), 0, missing=dict.fromkeys(lacks, "gone"))
        for number, (clip, lacks) in enumerate(zip(clips, lacking, strict=True))
    ]
    return collate(samples)


LACKING = ((), ("audio",), ("rgb", "arrays"))
# By stream the clips that have it and another, and what is left of them without it and alone.
COMPARED = {
    "rgb": {0: (("audio", "arrays"), ("rgb",)), 1: (("arrays",), ("rgb",))},
    "audio": {0: (("rgb", "arrays"), ("audio",))},
    "arrays": {0: (("rgb", "audio"), ("arrays",)), 1: (("rgb",), ("arrays",))},
}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_a_stream_and_with_it_alone_is_what_clips_masked_by_hand_are_answered(fusion):
    network, batch = joined_network_of(fusion).eval(), joined_batch(*LACKING)
    with torch.inference_mode():
        found = Probe(0).stream_outputs(network, batch)
        assert found.keys() == {
            f"{kind}_{name}" for name in COMPARED for kind in ("without", "only")
        }
        for name, clips in COMPARED.items():
            for number, kind in enumerate(("without", "only")):
                outputs, rows = found[f"{kind}_{name}"]
                assert rows.tolist() == list(clips)
                for output, (row, left) in zip(outputs, clips.items(), strict=True):
                    length = int(batch.lengths[row])
                    masked = batch.clips[row : row + 1, :length].clone()
                    masked[..., :3] = torch.tensor(
                        [float(stream in left[number]) for stream in STREAMS.names]
                    )
                    alone = network(masked, torch.tensor([length]))[0]
                    torch.testing.assert_close(output, alone, atol=1e-5, rtol=1e-4)
            without, only = (found[f"{kind}_{name}"][0] for kind in ("without", "only"))
            assert not torch.allclose(without, only, atol=1e-4)


def test_clips_have_scores_under_the_conditions_that_fit_them_alone():
    network, batch = joined_network_of("gated").eval(), joined_batch(*LACKING)
    whole, silent, sound = score_videos(network, [batch], device=CPU, probe=Probe(0))
    conditions = {f"{kind}_{name}" for name in STREAMS.names for kind in ("without", "only")}
    orders = {"shuffled", "reversed", "one_frame"}
    assert whole.tried.keys() == orders | conditions
    assert silent.tried.keys() == orders | conditions - {"without_audio", "only_audio"}
    assert sound.tried.keys() == orders
    assert sound.missing == ("rgb", "arrays")


def test_where_no_clip_has_two_streams_none_is_tried_without_one():
    network = joined_network_of("early").eval()
    batch = joined_batch(("audio", "arrays"), ("rgb", "audio"))
    with torch.inference_mode():
        assert Probe(0).stream_outputs(network, batch) == {}


def test_of_a_single_stream_there_is_nothing_to_leave_out():
    assert Probe(0).stream_outputs(network_of(), batch_of()) == {}


def vectors_of(num, *, seed, classes=3, dim=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=num)
    centres = np.random.default_rng(99).normal(size=(classes, dim)) * 3
    single, mean, *sides = (centres[labels] + rng.normal(size=(num, dim)) for _ in range(4))
    return Vectors(single * 50 + 1000, mean, np.stack(sides) * 50 + 1000, labels)


def test_baselines_learn_classes_that_lie_apart():
    baselines = fit_baselines(
        vectors_of(200, seed=0), vectors_of(60, seed=1), task="single", num_outputs=3
    )
    test = vectors_of(100, seed=2)
    for name in ("single_frame", "mean_pool"):
        features = torch.from_numpy(getattr(test, name)).float()
        outputs = baselines.outputs({"single_frame": features, "mean_pool": features})[name]
        assert (outputs.argmax(dim=1).numpy() == test.labels).mean() > 0.9


def test_a_class_without_training_clips_is_never_answered():
    train = vectors_of(200, seed=0)
    kept = train.labels != 1
    train = Vectors(
        train.single_frame[kept], train.mean_pool[kept], train.sides[:, kept], train.labels[kept]
    )
    baselines = fit_baselines(train, vectors_of(60, seed=1), task="single", num_outputs=3)
    features = torch.from_numpy(vectors_of(100, seed=2).mean_pool).float()
    outputs = baselines.outputs({"single_frame": features, "mean_pool": features})["mean_pool"]
    assert set(outputs.argmax(dim=1).tolist()) == {0, 2}


def test_one_class_alone_has_no_baselines():
    train = vectors_of(20, seed=0)
    train.labels[:] = 1
    assert fit_baselines(train, train, task="single", num_outputs=3) is None


def test_baselines_of_several_labels_and_of_numbers():
    train, val, test = (vectors_of(n, seed=s) for n, s in ((300, 0), (80, 1), (100, 2)))

    def labelled(vectors, labels):
        return Vectors(vectors.single_frame, vectors.mean_pool, vectors.sides, labels)

    onehot = [np.eye(3, dtype=np.float32)[v.labels] for v in (train, val, test)]
    multi = fit_baselines(
        labelled(train, onehot[0]), labelled(val, onehot[1]), task="multi", num_outputs=3
    )
    features = torch.from_numpy(test.mean_pool).float()
    both = {"single_frame": features, "mean_pool": features}
    said = multi.outputs(both)["mean_pool"].numpy() > 0  # 0.5 of a sigmoid
    assert (said == (onehot[2] > 0.5)).mean() > 0.9

    numbers = [v.labels[:, None].astype(np.float32) * 10 for v in (train, val, test)]
    regression = fit_baselines(
        labelled(train, numbers[0]), labelled(val, numbers[1]), task="regression", num_outputs=1
    )
    error = np.abs(regression.outputs(both)["mean_pool"].numpy() - numbers[2]).mean()
    assert error < np.abs(numbers[2] - numbers[2].mean()).mean() / 2


def test_unreadable_clips_are_left_out_of_the_features():
    network = network_of()
    broken = collate([Sample(0, (), 0, error="no video")])
    assert gather_vectors(network, [broken], device=CPU) is None
    vectors = gather_vectors(network, [broken, batch_of()], device=CPU)
    assert vectors.mean_pool.shape == (3, network.encoder.dim)
    assert vectors.labels.tolist() == [0, 1, 2]


def test_views_of_clips_are_the_middle_frame_and_the_mean_of_the_real_ones():
    frames = torch.tensor([[[1.0], [2.0], [6.0], [0.0]], [[5.0], [0.0], [0.0], [0.0]]])
    views = pooled_views(frames, torch.tensor([3, 1]))
    assert views["single_frame"].tolist() == [[2.0], [5.0]]
    assert views["mean_pool"].tolist() == [[3.0], [5.0]]


def test_baselines_survive_their_tensors():
    baselines = FrameBaselines(torch.rand(3, 5), torch.rand(3, 5))
    again = FrameBaselines.from_tensors(baselines.tensors())
    assert torch.equal(again.mean_pool, baselines.mean_pool)
    assert FrameBaselines.from_tensors({"head.weight": torch.rand(1)}) is None
