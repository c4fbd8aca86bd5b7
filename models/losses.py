"""The loss of each task. Outputs of the network go in as they are: softmax and sigmoid stand here.

single       cross-entropy or focal loss over logits (B, K)
multi        the same for each label by itself: a yes-or-no question with a sigmoid
regression   squared, absolute or Huber error of targets in units of their spread
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cliptide.configs.errors import ConfigError
from cliptide.configs.tasks import Task
from cliptide.models.late import which_are_there

# The losses of each task, the one that `auto` stands for first.
LOSSES: dict[Task, tuple[str, ...]] = {
    "single": ("cross_entropy", "focal"),
    "multi": ("cross_entropy", "focal"),
    "regression": ("mse", "l1", "huber"),
}


def loss_for(task: Task, *, loss: str, class_weights: str, label_smoothing: float) -> str:
    """Resolve `train.loss` and refuse what does not fit the task.

    Returns:
        One of `LOSSES[task]`.

    Raises:
        ConfigError: The loss, class weights or label smoothing do not fit the task.
    """
    known = LOSSES[task]
    if loss != "auto" and loss not in known:
        raise ConfigError(
            f"train.loss {loss} does not fit data.task {task}. Use one of: auto, "
            f"{', '.join(known)}."
        )
    if task == "regression":
        for key, value, off in (
            ("class_weights", class_weights, "none"),
            ("label_smoothing", label_smoothing, 0.0),
        ):
            if value != off:
                raise ConfigError(
                    f"train.{key} is {value}, but data.task regression has no classes. Leave "
                    f"train.{key} at {off}."
                )
    return known[0] if loss == "auto" else loss


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Weigh each class by total / (classes present x its count).

    Args:
        counts: Training clips of each class.

    Returns:
        (K,) float32 with a mean of 1 over the clips; 0 for a class without clips.
    """
    count = torch.tensor(counts, dtype=torch.float32)
    present = count > 0
    weights = count.sum() / (present.sum() * count.clamp(min=1))
    return torch.where(present, weights, torch.zeros(()))


def effective_numbers(counts: Sequence[int], *, beta: float) -> Tensor:
    """The effective number of clips of each class, E = (1 - beta^n) / (1 - beta).

    Cui et al. (2019), "Class-Balanced Loss Based on Effective Number of Samples", equation 2.

    Returns:
        (K,) float32; n for beta near 1, and 1 for any n with beta 0.
    """
    count = torch.tensor(counts, dtype=torch.float64)
    return ((1 - beta**count) / (1 - beta)).float()


def effective_weights(counts: Sequence[int], *, beta: float) -> Tensor:
    """Weigh each class by 1 / its effective number of clips (Cui et al. 2019, section 4).

    Returns:
        (K,) float32 with a mean of 1 over the classes present; 0 for a class without clips.
    """
    present = torch.tensor(counts) > 0
    numbers = effective_numbers(counts, beta=beta)
    weights = torch.where(present, 1 / numbers.clamp(min=1e-12), torch.zeros(()))
    return weights * present.sum() / weights.sum().clamp(min=1e-12)


def positive_weights(counts: Sequence[int], *, total: int, beta: float | None = None) -> Tensor:
    """Weigh a label's presence against its absence: clips without it over clips with it.

    Args:
        counts: Training clips with each label.
        total: All training clips.
        beta: Takes effective numbers in place of counts, as in `effective_weights`.

    Returns:
        (K,) float32; 1 for a label that every clip has, or none.
    """
    without = [total - count for count in counts]
    if beta is None:
        yes, no = (torch.tensor(each, dtype=torch.float32) for each in (counts, without))
    else:
        yes, no = (effective_numbers(each, beta=beta) for each in (counts, without))
    both = (torch.tensor(counts) > 0) & (torch.tensor(without) > 0)
    return torch.where(both, no / yes.clamp(min=1e-12), torch.ones(()))


class ClassLoss(nn.Module):
    """Cross-entropy over logits, for class indices or shares of classes; focal with gamma > 0.

    The focal loss of Lin et al. (2017), equation 4: -(1 - p)^gamma log p. Weighted clips are
    averaged by their weights, as torch's cross-entropy does for indices; here for shares too.

    Args:
        gamma: 0 is plain cross-entropy.
        label_smoothing: Share of the target spread over all classes.
        class_weights: (K,) float32, or None.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.gamma, self.label_smoothing = gamma, label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Average the loss of clips.

        Args:
            logits: (B, K).
            labels: (B,) int64 class indices, or (B, K) shares that sum to 1 in each row.

        Returns:
            A number.
        """
        num_classes = logits.shape[1]
        shares = labels if labels.ndim == 2 else F.one_hot(labels, num_classes)
        shares = shares.to(torch.float32)
        smooth = self.label_smoothing
        wanted = shares * (1 - smooth) + smooth / num_classes
        log_p = F.log_softmax(logits.float(), dim=1)
        each = -wanted * log_p
        if self.gamma:
            # Never 0, of which a power below 1 has an infinite gradient.
            rest = -torch.expm1(log_p.clamp(max=-1e-7))
            each = each * rest**self.gamma
        if self.class_weights is None:
            return each.sum(dim=1).mean()
        weights = self.class_weights
        return (each * weights).sum() / (shares * weights).sum()


class LabelLoss(nn.Module):
    """Binary cross-entropy of each label by itself; focal with gamma > 0 (Lin et al. 2017).

    Args:
        gamma: 0 is plain binary cross-entropy.
        label_smoothing: Share of the target spread over yes and no.
        positive_weights: (K,) float32, how much more a label's presence counts, or None.
    """

    positive_weights: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 0.0,
        label_smoothing: float = 0.0,
        positive_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.gamma, self.label_smoothing = gamma, label_smoothing
        self.register_buffer("positive_weights", positive_weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Average over clips and labels.

        Args:
            logits: (B, K).
            labels: (B, K), from 0 (no) to 1 (yes).

        Returns:
            A number.
        """
        logits = logits.float()
        smooth = self.label_smoothing
        yes = labels.float() * (1 - smooth) + smooth / 2
        weights = 1.0 if self.positive_weights is None else self.positive_weights
        with_it = -F.logsigmoid(logits) * weights
        without_it = -F.logsigmoid(-logits)
        if self.gamma:
            with_it = with_it * torch.exp(self.gamma * F.logsigmoid(-logits))
            without_it = without_it * torch.exp(self.gamma * F.logsigmoid(logits))
        return (yes * with_it + (1 - yes) * without_it).mean()


_ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
}


class TargetLoss(nn.Module):
    """Error of numbers in units of each target's spread, so that all targets count alike.

    Args:
        kind: `mse`, `l1` or `huber` (Huber 1964, squared up to one unit).
        scale: (K,) float32, the training standard deviation of each target.
    """

    scale: Tensor

    def __init__(self, kind: str, *, scale: Tensor) -> None:
        super().__init__()
        self.error = _ERRORS[kind]
        # Persistent: a resumed run that began with --init has another scale than its data.
        self.register_buffer("scale", scale)

    def forward(self, values: Tensor, targets: Tensor) -> Tensor:
        """Average over clips and targets, both (B, K) in the user's units."""
        return self.error(values.float() / self.scale, targets.float() / self.scale)


def build_loss(
    task: Task,
    kind: str,
    *,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    scale: Tensor | None = None,
) -> nn.Module:
    """Build the loss of a task.

    Args:
        task: What is learnt.
        kind: One of `LOSSES[task]`.
        gamma: Of `focal`.
        label_smoothing: For classes and labels.
        class_weights: (K,) weights of the classes, or of each label's presence.
        scale: (K,) spread of the targets, for regression.
    """
    options: dict[str, Any] = {
        "gamma": gamma if kind == "focal" else 0.0,
        "label_smoothing": label_smoothing,
    }
    if task == "regression":
        assert scale is not None
        return TargetLoss(kind, scale=scale)
    if task == "multi":
        return LabelLoss(**options, positive_weights=class_weights)
    return ClassLoss(**options, class_weights=class_weights)


def class_weights_for(
    task: Task, rule: str, *, counts: Sequence[int], total: int, beta: float
) -> Tensor | None:
    """The weights that `train.class_weights` asks for.

    Args:
        task: `single` or `multi`; regression has none.
        rule: `none`, `balanced` or `effective`.
        counts: Training clips of each class or with each label.
        total: All training clips.
        beta: Of `effective`.
    """
    if rule == "none":
        return None
    if task == "multi":
        return positive_weights(counts, total=total, beta=beta if rule == "effective" else None)
    return balanced_weights(counts) if rule == "balanced" else effective_weights(counts, beta=beta)


class EachStream(nn.Module):
    """A loss that late fusion's outputs go through stream by stream; others as they are.

    Args:
        loss: Of outputs (B, K) and targets.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs (B, K), or (B, S, K) with `late.MISSING` where a clip lacks a stream.

        NaN where no clip has any.
        """
        if outputs.ndim == 2:
            found: Tensor = self.loss(outputs, targets)
            return found
        there = which_are_there(outputs)
        of_streams = [
            self.loss(part[here], targets[here]) * here.float().mean()
            for part, here in zip(outputs.unbind(dim=1), there.unbind(dim=1), strict=True)
            if here.any()
        ]
        if not of_streams:
            return (outputs * torch.nan).sum()
        return torch.stack(of_streams).sum() / outputs.shape[1]
