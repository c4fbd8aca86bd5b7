"""What a step does to the weights: groups and their penalties, the schedule, the moving average."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cliptide.configs.training import PARTS, TrainConfig


def part_of(name: str) -> str:
    """The part of the network (see `configs.schema.PARTS`) that a parameter belongs to."""
    first = name.partition(".")[0]
    return first if first in PARTS else "temporal"  # motion and summary lie over time too


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Group the parameters by part, and within it into weights and the rest.

    Weights are penalised; biases and norms are not. A frozen encoder is in it from the start, so
    that it can learn later and a run be resumed on either side: what has no gradient is passed
    over by the optimiser, its penalties included.

    Args:
        network: A `Recognizer`.
        config: Learning rate and penalties of each part.

    Returns:
        Groups for a torch optimiser, the head's first, with `l1` beside what torch knows.
    """
    members: dict[tuple[str, bool], list[nn.Parameter]] = {
        (part, is_weight): [] for part in reversed(PARTS) for is_weight in (True, False)
    }
    for name, parameter in network.named_parameters():
        members[part_of(name), parameter.ndim > 1].append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.lr * (config.encoder_lr if part == "encoder" else 1.0),
            "weight_decay": config.penalty("weight_decay", part) if is_weight else 0.0,
            "l1": config.penalty("l1", part) if is_weight else 0.0,
        }
        for (part, is_weight), parameters in members.items()
        if parameters
    ]


def build_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or SGD with Nesterov momentum 0.9."""
    groups = parameter_groups(network, config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.lr)


def warmup_cosine(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """The share of the peak learning rate: a linear rise, then half a cosine to zero.

    Loshchilov & Hutter (2017), with the warm-up of Goyal et al. (2017).
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def build_schedule(
    optimizer: Optimizer, config: TrainConfig, *, batches_per_epoch: int
) -> LambdaLR:
    """The learning rate over the steps of a run, of which each takes `accumulate` batches."""
    steps_per_epoch = math.ceil(batches_per_epoch / config.accumulate)
    total = config.epochs * steps_per_epoch
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total // 2)
    return LambdaLR(
        optimizer, lambda step: warmup_cosine(step, warmup_steps=warmup, total_steps=total)
    )


@torch.no_grad()
def shrink_weights(optimizer: Optimizer) -> None:
    """Apply the L1 penalty of each group: w -> sign(w) max(|w| - lr l1, 0).

    The soft threshold is the proximal step of the penalty (Parikh & Boyd 2014, "Proximal
    Algorithms", section 6.5.2). A sign added to the gradient would be divided by Adam's running
    scale, clipped with the rest, and leave weights hovering about zero; here the penalty is
    decoupled from the gradient as AdamW's decay is, and weights become exactly 0.

    Args:
        optimizer: Has just made its step; what had no gradient is left alone.
    """
    for group in optimizer.param_groups:
        threshold = float(group["lr"]) * group["l1"]
        if threshold:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.copy_(F.softshrink(parameter, threshold))


def moving_average(network: nn.Module, *, decay: float) -> AveragedModel:
    """An exponential moving average of weights and buffers (Polyak & Juditsky 1992).

    Over the first steps the decay is (1 + n) / (10 + n), as in TensorFlow's
    ExponentialMovingAverage: a short run would else validate mostly its random beginning.
    """

    def update(averages: Any, values: Any, num_averaged: Tensor | int) -> None:
        seen = int(num_averaged)
        warm = min(decay, (1 + seen) / (10 + seen))
        get_ema_multi_avg_fn(warm)(averages, values, num_averaged)  # type: ignore[no-untyped-call]

    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    return average.requires_grad_(False)
