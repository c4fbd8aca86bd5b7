"""The loss of a run, from its config and its training clips, and what it refuses."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn

from cliptide.app.training.mixing import check_mixing
from cliptide.configs.training import TrainConfig
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.labels import classes_of
from cliptide.datasets.records import SampleRecord
from cliptide.models.late import LateHead
from cliptide.models.losses import EachStream, build_loss, class_weights_for, loss_for
from cliptide.models.recognizer import Recognizer


def loss_kind(config: TrainConfig, catalog: Catalog) -> str:
    """Resolve `train.loss`.

    Raises:
        ConfigError: The loss, class weights or label smoothing do not fit the task.
    """
    return loss_for(
        catalog.task,
        loss=config.loss,
        class_weights=config.class_weights,
        label_smoothing=config.label_smoothing,
    )


def check_fits_task(config: TrainConfig, catalog: Catalog, *, streams: Sequence[str]) -> None:
    """Refuse a loss, weights, smoothing or mixing that mean nothing for the task or the streams.

    Raises:
        ConfigError: One of them does not fit.
    """
    loss_kind(config, catalog)
    check_mixing(config, task=catalog.task, streams=streams)


def training_loss(
    config: TrainConfig,
    catalog: Catalog,
    *,
    network: Recognizer,
    train_records: Sequence[SampleRecord],
) -> nn.Module:
    """Build the loss that is minimised, weighted by the training clips as the config asks."""
    wrap = EachStream if isinstance(network.head, LateHead) else _as_it_is
    if catalog.task == "regression":
        return wrap(validation_loss(config, catalog, network=network))
    counts = Counter(
        name for record in train_records for name in classes_of(record.label, catalog.task)
    )
    weights = class_weights_for(
        catalog.task,
        config.class_weights,
        counts=[counts[name] for name in catalog.class_names],
        total=len(train_records),
        beta=config.class_beta,
    )
    return wrap(
        build_loss(
            catalog.task,
            loss_kind(config, catalog),
            gamma=config.focal_gamma,
            label_smoothing=config.label_smoothing,
            class_weights=weights,
        )
    )


def _as_it_is(loss: nn.Module) -> nn.Module:
    return loss


def validation_loss(config: TrainConfig, catalog: Catalog, *, network: Recognizer) -> nn.Module:
    """Build the same loss without weights and smoothing, so that epochs and runs compare."""
    options: dict[str, Any] = {"gamma": config.focal_gamma}
    if catalog.task == "regression":
        # A copy: a loss that shared the network's buffer would be moved and loaded apart from it.
        options["scale"] = network.target_scale.std.clone()
    return build_loss(catalog.task, loss_kind(config, catalog), **options)
