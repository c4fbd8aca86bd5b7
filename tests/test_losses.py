"""The loss of each task, its weights, and what does not fit."""

import pytest
import torch
from torch.nn import functional as F

from cliptide.configs.errors import ConfigError
from cliptide.models.losses import (
    LOSSES,
    ClassLoss,
    LabelLoss,
    balanced_weights,
    build_loss,
    class_weights_for,
    effective_numbers,
    effective_weights,
    loss_for,
    positive_weights,
)


def drawn(rows: int = 6, columns: int = 4) -> tuple[torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, columns, generator=generator) * 3, generator


def test_balanced_weights_are_total_over_classes_times_count() -> None:
    assert balanced_weights([30, 10]).tolist() == pytest.approx([40 / 60, 40 / 20])


def test_balanced_weights_have_a_mean_of_one_over_the_clips() -> None:
    counts = torch.tensor([3, 0, 17, 1])
    weights = balanced_weights(counts.tolist())
    assert (weights * counts).sum().item() == pytest.approx(counts.sum().item())
    assert weights[1] == 0, "a class without clips has no weight, and takes none from the others"


def test_weights_of_no_clips_at_all_are_no_nan() -> None:
    assert balanced_weights([0, 0]).tolist() == [0.0, 0.0]
    assert effective_weights([0, 0], beta=0.9).tolist() == [0.0, 0.0]


def test_the_effective_number_lies_between_one_and_the_count() -> None:
    """Cui et al. 2019, equation 2: 1 for beta 0, n for beta towards 1."""
    assert effective_numbers([5, 50], beta=0.0).tolist() == [1.0, 1.0]
    assert effective_numbers([5, 50], beta=1 - 1e-9).tolist() == pytest.approx([5, 50], rel=1e-4)
    assert effective_numbers([2], beta=0.5).item() == pytest.approx(1 + 0.5)


def test_effective_weights_have_a_mean_of_one_over_the_classes_present() -> None:
    weights = effective_weights([100, 0, 10], beta=0.99)
    assert weights[1] == 0 and weights.sum().item() == pytest.approx(2)
    e_many, _, e_few = effective_numbers([100, 0, 10], beta=0.99).tolist()
    assert (weights[2] / weights[0]).item() == pytest.approx(e_many / e_few)


def test_a_rare_label_weighs_by_the_clips_without_it() -> None:
    assert positive_weights([2, 5, 0, 10], total=10).tolist() == pytest.approx([4, 1, 1, 1])
    mild = positive_weights([2], total=10, beta=0.9).item()
    assert 1 < mild < 4


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 3.0, 0.5, 2.0])])
def test_the_loss_of_classes_is_that_of_torch(smoothing: float, weights: torch.Tensor) -> None:
    logits, generator = drawn()
    labels = torch.randint(4, (6,), generator=generator)
    ours = ClassLoss(label_smoothing=smoothing, class_weights=weights)(logits, labels)
    theirs = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 3.0, 0.5, 2.0])])
def test_shares_of_classes_that_are_all_or_nothing_lose_what_indices_do(gamma, weights) -> None:
    """Mixed clips come with shares: unmixed ones must not weigh otherwise."""
    logits, generator = drawn()
    labels = torch.randint(4, (6,), generator=generator)
    loss = ClassLoss(gamma=gamma, class_weights=weights)
    shares = F.one_hot(labels, 4).float()
    assert loss(logits, shares).item() == pytest.approx(loss(logits, labels).item())
    mixed = loss(logits, 0.3 * shares + 0.7 / 4)
    assert torch.isfinite(mixed) and mixed != loss(logits, labels)


def test_unweighted_shares_lose_what_torch_says() -> None:
    logits, generator = drawn()
    shares = torch.rand(6, 4, generator=generator).softmax(dim=1)
    assert ClassLoss()(logits, shares).item() == pytest.approx(
        F.cross_entropy(logits, shares).item()
    )


def test_the_loss_takes_logits_and_does_its_own_softmax() -> None:
    """Softmax before cross-entropy would keep the loss of a sure, right answer near 0.55."""
    logits, labels = torch.tensor([[20.0, 0.0, 0.0]]), torch.tensor([0])
    assert build_loss("single", "cross_entropy")(logits, labels).item() < 1e-6
    uniform = build_loss("single", "cross_entropy")(torch.zeros(1, 3), labels).item()
    assert uniform == pytest.approx(torch.tensor(3.0).log().item())


def test_focal_turns_from_what_is_easy() -> None:
    """Lin et al. 2017, equation 5: (1 - p)^gamma scales cross-entropy."""
    logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    p = torch.softmax(logits, dim=1)[0, 0]
    plain = F.cross_entropy(logits, labels)
    focal = build_loss("single", "focal", gamma=2.0)(logits, labels)
    assert focal.item() == pytest.approx(((1 - p) ** 2 * plain).item())
    binary = build_loss("multi", "focal", gamma=2.0)(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    q = torch.sigmoid(torch.tensor(2.0))
    assert binary.item() == pytest.approx((-((1 - q) ** 2) * q.log()).item(), rel=1e-5)


def test_the_loss_of_several_labels_is_that_of_torch() -> None:
    logits, generator = drawn()
    labels = torch.randint(2, (6, 4), generator=generator).float()
    weights = torch.tensor([1.0, 3.0, 0.5, 2.0])
    theirs = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weights)
    assert LabelLoss(positive_weights=weights)(logits, labels).item() == pytest.approx(
        theirs.item()
    )
    smooth = F.binary_cross_entropy_with_logits(logits, labels * 0.8 + 0.1)
    assert LabelLoss(label_smoothing=0.2)(logits, labels).item() == pytest.approx(smooth.item())


@pytest.mark.parametrize("task", ["single", "multi"])
@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
@pytest.mark.parametrize("size", [1e4, -1e4, 20.0, -20.0])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_extreme_logits_give_finite_losses_and_gradients(task, kind, size, gamma) -> None:
    logits = torch.tensor([[size, 0.0, -size]], requires_grad=True)
    labels = torch.tensor([[0.0, 0.0, 1.0]])
    loss = build_loss(task, kind, gamma=gamma)(logits, labels)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("kind", "expected"), [("mse", 4.0), ("l1", 2.0), ("huber", 1.5)])
def test_errors_of_numbers_count_in_units_of_their_spread(kind: str, expected: float) -> None:
    loss = build_loss("regression", kind, scale=torch.tensor([100.0, 0.1]))
    values, targets = torch.tensor([[700.0, 0.3]]), torch.tensor([[500.0, 0.1]])
    assert loss(values, targets).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "options", "value", "mend"),
    [
        ("regression", {"loss": "focal"}, "train.loss focal .* regression", "auto, mse, l1, huber"),
        ("single", {"loss": "mse"}, "train.loss mse .* single", "auto, cross_entropy, focal"),
        ("multi", {"loss": "huber"}, "train.loss huber .* multi", "auto, cross_entropy, focal"),
        ("regression", {"class_weights": "balanced"}, "class_weights is balanced", "at none"),
        ("regression", {"label_smoothing": 0.1}, "label_smoothing is 0.1", "at 0.0"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_with_what_does(task, options, value, mend) -> None:
    given = {"loss": "auto", "class_weights": "none", "label_smoothing": 0.0} | options
    with pytest.raises(ConfigError, match=f"{value}.*{mend}"):
        loss_for(task, **given)


def test_auto_is_the_first_loss_of_each_task() -> None:
    for task, losses in LOSSES.items():
        assert loss_for(task, loss="auto", class_weights="none", label_smoothing=0.0) == losses[0]


def test_weights_are_chosen_by_task_and_rule() -> None:
    counts = [30, 10]
    assert class_weights_for("single", "none", counts=counts, total=40, beta=0.9) is None
    rules = {
        ("single", "balanced"): balanced_weights(counts),
        ("single", "effective"): effective_weights(counts, beta=0.9),
        ("multi", "balanced"): positive_weights(counts, total=40),
        ("multi", "effective"): positive_weights(counts, total=40, beta=0.9),
    }
    for (task, rule), expected in rules.items():
        weights = class_weights_for(task, rule, counts=counts, total=40, beta=0.9)
        assert weights.tolist() == pytest.approx(expected.tolist())
