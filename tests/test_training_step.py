"""One training step: what is added up, clipped, penalised, averaged and left out."""

import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from cliptide.app.training.callbacks import DataWatch, Quarantine
from cliptide.app.training.module import ClassifierModule
from cliptide.app.training.optimisation import (
    build_optimizer,
    build_schedule,
    moving_average,
    parameter_groups,
    shrink_weights,
    warmup_cosine,
)
from cliptide.configs.errors import CliptideError, ConfigError
from cliptide.configs.schema import ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.loaders import Batch
from cliptide.models.build import build_recognizer
from cliptide.models.losses import build_loss
from cliptide.models.recognizer import Recognizer

# Lightning's advice for larger trainings than these.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec.*")

PLAIN = TrainConfig(epochs=1, batch_size=4, lr=1e-2, warmup_epochs=0, weight_decay=0.0)


def build(**keys: Any) -> Recognizer:
    torch.manual_seed(0)
    config = ModelConfig(**{"width": 0.25, "hidden": 8, "dropout": 0.0, **keys})
    return build_recognizer(config, num_classes=2)


def some_batches(*sizes: int, frames: int = 3) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    batches, seen = [], 0
    for size in sizes:
        shape = (size, frames, 3, 16, 16)
        labels = torch.arange(seen, seen + size)
        seen += size
        batches.append(
            Batch(
                clips=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
                lengths=torch.full((size,), frames),
                labels=labels % 2,
                indices=labels,
                samples=(),
            )
        )
    return batches


def joined(batches: list[Batch]) -> Batch:
    tensors = {
        key: torch.cat([getattr(batch, key) for batch in batches])
        for key in ("clips", "lengths", "labels", "indices")
    }
    return Batch(**tensors, samples=())


class Watch(Callback):
    """Keeps the learning rate, the epoch's figures and the count of steps."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.figures: list[dict[str, float]] = []
        self.skipped: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: ClassifierModule) -> None:
        self.figures.append({k: float(v) for k, v in trainer.callback_metrics.items()})
        self.skipped.append(pl_module.skipped_steps)


def fit(
    network: Recognizer,
    batches: list[Batch],
    config: TrainConfig = PLAIN,
    *,
    loss: nn.Module | None = None,
) -> tuple[ClassifierModule, Watch, int]:
    """Train; returns the module, what was watched, and how many steps were made."""
    module = ClassifierModule(
        network,
        config=config,
        seed=0,
        num_outputs=2,
        batches_per_epoch=len(batches),
        loss=loss or build_loss("single", "cross_entropy", label_smoothing=config.label_smoothing),
        validation_loss=build_loss("single", "cross_entropy"),
    )
    watch = Watch()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=config.epochs,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    return module, watch, trainer.global_step


def weights(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def moved(before: dict[str, Tensor], network: torch.nn.Module) -> Iterator[str]:
    """The parts of the network in which a weight is another now."""
    for name, value in network.named_parameters():
        if not torch.equal(value, before[name]):
            yield name.partition(".")[0]


# Accumulation


def test_accumulated_batches_learn_as_one_batch_of_them_all() -> None:
    # Without batch-norms, which normalise each batch by itself.
    keys = {"freeze": True}
    batches = some_batches(4, 4, 2)
    one, many = build(**keys), build(**keys)
    _, _, steps = fit(many, batches, replace(PLAIN, accumulate=3))
    assert steps == 1
    fit(one, [joined(batches)])
    for (name, a), b in zip(one.named_parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(b, a, atol=1e-6, rtol=1e-5, msg=name)


def test_what_is_left_at_the_epochs_end_makes_a_step_of_its_own() -> None:
    _, watch, steps = fit(build(), some_batches(2, 2, 2, 2, 2), replace(PLAIN, accumulate=2))
    assert steps == 3
    assert watch.rates[0] == PLAIN.lr, "the rate changes with the steps, not the batches"
    assert watch.rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_a_passed_over_batch_at_the_end_does_not_keep_the_rest_from_learning() -> None:
    empty = Batch(
        clips=torch.zeros(0, 1, 3, 1, 1, dtype=torch.uint8),
        lengths=torch.zeros(0, dtype=torch.int64),
        labels=torch.zeros(0, dtype=torch.int64),
        indices=torch.zeros(0, dtype=torch.int64),
        samples=(),
    )
    _, _, steps = fit(build(), [*some_batches(2, 2, 2), empty], replace(PLAIN, accumulate=2))
    assert steps == 2


@pytest.mark.parametrize("keys", [{}, {"motion": "both", "shift": "causal"}])
@pytest.mark.parametrize("config", [PLAIN, replace(PLAIN, chunk=2, accumulate=2)])
def test_a_frame_alone_is_learnt_from(keys: dict[str, Any], config: TrainConfig) -> None:
    network = build(**keys)
    before = weights(network)
    fit(network, some_batches(1, 1, frames=1), config)
    assert set(moved(before, network)) >= {"encoder", "temporal", "head"}
    assert all(module.training for module in network.modules()), "and the norms are set back"


# Clipping, and gradients that are no numbers


def test_the_norm_is_logged_as_it_was_before_clipping() -> None:
    batches = some_batches(4)
    loose, tight = (
        fit(build(), batches, replace(PLAIN, clip_grad=limit))[1].figures[0] for limit in (0, 1e-6)
    )
    assert tight["grad_norm"] == loose["grad_norm"] == loose["grad_norm_max"] > 0.01


def test_clipping_bounds_a_step() -> None:
    config = replace(PLAIN, optimizer="sgd", clip_grad=1e-3, lr=1.0)
    network = build()
    before = weights(network)
    fit(network, some_batches(4), config)
    change = sum(((v - before[k]) ** 2).sum() for k, v in network.named_parameters())
    # Nesterov's first step is 1 + 0.9 times the gradient.
    assert float(change.detach().sqrt()) == pytest.approx(1.9e-3, rel=1e-3)


class NoNumberForOnes(nn.Module):
    """Cross-entropy that is no number for batches that hold class 1."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, labels)
        return loss * math.nan if labels.any() else loss


def test_a_gradient_that_is_no_number_is_left_out_counted_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second, third = some_batches(4, 4, 4)
    spoilt = replace(second, labels=torch.ones(4, dtype=torch.int64))
    good = [replace(b, labels=torch.zeros(4, dtype=torch.int64)) for b in (first, third)]
    network = build()
    _, watch, _ = fit(network, [good[0], spoilt, good[1]], loss=NoNumberForOnes())
    assert watch.skipped == [1]
    assert all(value.isfinite().all() for value in network.parameters())
    told = capsys.readouterr().err
    assert told.count("is no number") == 1 and "--train.lr" in told


def test_an_epoch_without_one_good_gradient_ends_the_training() -> None:
    network = build()
    before = weights(network)
    with pytest.raises(CliptideError, match=r"all 2 steps.*--train\.lr.*--train\.clip_grad"):
        fit(
            network,
            [replace(b, labels=torch.ones_like(b.labels)) for b in some_batches(4, 4)],
            loss=NoNumberForOnes(),
        )
    assert not set(moved(before, network))


# Parts of the network: penalties and learning rates


def test_biases_and_norms_are_spared_and_each_part_has_its_own() -> None:
    config = replace(
        PLAIN, weight_decay=0.1, weight_decay_head=0.2, l1=0.3, l1_encoder=0.0, encoder_lr=0.5
    )
    network = build(motion="features", summary="attention")
    groups = parameter_groups(network, config)
    names = {id(p): name for name, p in network.named_parameters()}
    told = {
        names[id(p)]: (group["lr"] / PLAIN.lr, group["weight_decay"], group["l1"])
        for group in groups
        for p in group["params"]
    }
    assert told.keys() == set(names.values())
    for name, parameter in network.named_parameters():
        part = name.partition(".")[0]
        expected = {"encoder": (0.5, 0.1, 0.0), "head": (1.0, 0.2, 0.3)}.get(part, (1.0, 0.1, 0.3))
        if parameter.ndim == 1:
            expected = (expected[0], 0.0, 0.0)
        assert told[name] == expected, name
    assert groups[0]["lr"] == PLAIN.lr, "the rate that is shown is not the encoder's"


@pytest.mark.parametrize("part", ["encoder", "temporal", "head"])
def test_weight_decay_shrinks_its_part_alone(part: str) -> None:
    network = build()
    config = replace(PLAIN, **{f"weight_decay_{part}": 0.5})
    optimizer = build_optimizer(network, config)
    before = weights(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert set(moved(before, network)) == {part}
    for name, value in network.named_parameters():
        if name.startswith(part) and value.ndim > 1:
            torch.testing.assert_close(value.detach(), before[name] * (1 - PLAIN.lr * 0.5))


@pytest.mark.parametrize("part", ["encoder", "temporal", "head"])
def test_l1_empties_its_part_alone(part: str) -> None:
    network = build()
    fit(network, some_batches(4, 4, 4), replace(PLAIN, epochs=4, **{f"l1_{part}": 1.0}))
    zeros: dict[str, list[float]] = {"encoder": [], "temporal": [], "head": []}
    for name, value in network.named_parameters():
        if value.ndim > 1:
            zeros[name.partition(".")[0]].append(float((value == 0).float().mean()))
    for other, shares in zeros.items():
        assert (min(shares) > 0.1) if other == part else (max(shares) == 0), (other, shares)


def test_the_l1_step_is_a_soft_threshold_of_lr_times_l1() -> None:
    weight = torch.nn.Parameter(torch.tensor([[-1.0, -0.05, 0.05, 1.0]]))
    idle = torch.nn.Parameter(torch.ones(1, 1))
    weight.grad = torch.zeros_like(weight)
    group = {"params": [weight, idle], "lr": 0.1, "l1": 2.0}
    shrink_weights(torch.optim.SGD([group]))
    torch.testing.assert_close(weight.detach(), torch.tensor([[-0.8, 0.0, 0.0, 0.8]]))
    assert idle == 1, "what has no gradient is left alone"


# The moving average


def test_the_average_is_validated_and_follows_the_weights_late() -> None:
    network = build()
    module, _, _ = fit(network, some_batches(4, 4, 4, 4), replace(PLAIN, ema=0.9))
    assert module.judged is not network
    assert set(moved(weights(network), module.judged)) == {"encoder", "temporal", "head"}
    plain, _, _ = fit(build(), some_batches(4))
    assert plain.judged is plain.network


def test_the_average_is_that_of_its_definition() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = moving_average(network, decay=0.2)
    expected = None
    for step, value in enumerate([1.0, 5.0, 2.0, 8.0]):
        torch.nn.init.constant_(network.weight, value)
        torch.nn.init.constant_(network.running_mean, value)
        average.update_parameters(network)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert float(average.module.weight) == pytest.approx(expected)
        assert float(average.module.running_mean) == pytest.approx(expected)


# A frozen encoder that learns later


def test_a_frozen_encoder_learns_after_its_epochs_with_its_statistics() -> None:
    config = replace(PLAIN, epochs=2, weight_decay=0.5, unfreeze_after=1)
    network = build(freeze=True)
    before, buffers = weights(network), dict(network.encoder.named_buffers())
    buffers = {name: value.clone() for name, value in buffers.items()}
    states = []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: ClassifierModule) -> None:
            same = all(torch.equal(v, buffers[k]) for k, v in network.encoder.named_buffers())
            states.append(("encoder" in moved(before, network), same))

    module = ClassifierModule(
        network,
        config=config,
        seed=0,
        num_outputs=2,
        batches_per_epoch=2,
        loss=build_loss("single", "cross_entropy"),
        validation_loss=build_loss("single", "cross_entropy"),
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[Look()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(some_batches(4, 4), batch_size=None))
    assert states == [(False, True), (True, False)]


def test_unfreezing_what_is_not_frozen_is_refused() -> None:
    train = TrainConfig(unfreeze_after=3)
    with pytest.raises(ConfigError, match=r"unfreeze_after is 3.*Set model\.freeze true"):
        RunConfig(train=train)
    assert RunConfig(train=train, model=ModelConfig(freeze=True)).train.unfreeze_after == 3


# Clips: whole, in chunks, mixed


def test_long_clips_learn_in_chunks() -> None:
    network = build()
    config = replace(PLAIN, chunk=8, epochs=3)
    batches = some_batches(2, 2, frames=60)
    _, watch, steps = fit(network, batches, config)
    assert steps == 6, "a step for a batch, however many chunks it has"
    assert watch.figures[-1]["train_loss"] < watch.figures[0]["train_loss"]


def test_mixed_clips_learn_towards_both_labels() -> None:
    figures = [
        fit(build(), some_batches(4), replace(PLAIN, **how))[1].figures[0]
        for how in ({}, {"mixup": 1.0}, {"cutmix": 1.0})
    ]
    assert len({figure["train_loss"] for figure in figures}) == 3


# The schedule


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    shares = [warmup_cosine(step, warmup_steps=10, total_steps=100) for step in range(101)]
    assert shares[:10] == sorted(shares[:10])
    assert shares[10] == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[100] == pytest.approx(0.0)


def test_the_schedule_counts_steps() -> None:
    config = replace(PLAIN, epochs=3, warmup_epochs=1, accumulate=4)
    optimizer = build_optimizer(build(), config)
    schedule = build_schedule(optimizer, config, batches_per_epoch=10)
    rates = []
    for _ in range(9):  # 3 epochs of 3 steps: 4, 4 and 2 batches
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) == rates[3] == config.lr
    assert schedule.get_last_lr()[0] == pytest.approx(0.0)


def test_a_run_of_a_release_without_lengths_is_resumed_and_sees_them_again(tmp_path):
    watch = DataWatch(
        Quarantine(tmp_path / "q.csv"), train_records=(), val_records=(), clock=lambda: 0.0
    )
    watch.load_state_dict({"rates": {0: 5.0, 1: 5.0}, "quarantine": {}})
    samples = [
        SimpleNamespace(error="", index=index, used_fps=(5.0,), frames_used=8, missing={})
        for index in (0, 1)
    ]
    watch.on_train_batch_start(None, None, SimpleNamespace(samples=samples), 0)
    assert watch.num_frames(0.5) == 8
