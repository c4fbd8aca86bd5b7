"""The loss and the weights of classes."""

import pytest
import torch

from cliptide.models.losses import balanced_weights, classification_loss


def test_balanced_weights_are_total_over_classes_times_count() -> None:
    assert balanced_weights([30, 10]).tolist() == pytest.approx([40 / 60, 40 / 20])


def test_balanced_weights_have_a_mean_of_one_over_the_clips() -> None:
    counts = torch.tensor([3, 0, 17, 1])
    weights = balanced_weights(counts.tolist())
    assert (weights * counts).sum().item() == pytest.approx(counts.sum().item())
    assert weights[1] == 0, "a class without clips has no weight, and takes none from the others"


def test_weights_of_no_clips_at_all_are_no_nan() -> None:
    assert balanced_weights([0, 0]).tolist() == [0.0, 0.0]


def test_the_loss_takes_logits_and_does_its_own_softmax() -> None:
    """Softmax before cross-entropy would keep the loss of a sure, right answer near 0.55."""
    logits, labels = torch.tensor([[20.0, 0.0, 0.0]]), torch.tensor([0])
    assert classification_loss()(logits, labels).item() < 1e-6
    uniform = classification_loss()(torch.zeros(1, 3), labels).item()
    assert uniform == pytest.approx(torch.tensor(3.0).log().item())


def test_label_smoothing_asks_for_less_than_certainty() -> None:
    logits, labels = torch.tensor([[20.0, 0.0]]), torch.tensor([0])
    assert classification_loss(label_smoothing=0.1)(logits, labels).item() == pytest.approx(1.0)


def test_class_weights_scale_the_loss_of_their_class() -> None:
    logits, labels = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1])
    weights = torch.tensor([1.0, 3.0])
    each = [classification_loss()(logits[i : i + 1], labels[i : i + 1]).item() for i in range(2)]
    weighted = classification_loss(class_weights=weights)(logits, labels).item()
    assert weighted == pytest.approx((each[0] + 3 * each[1]) / 4)
