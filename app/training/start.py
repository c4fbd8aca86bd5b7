"""What a run starts from: a new network, a model file, or an earlier run's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log, track
from cliptide.app.training.chunks import check_chunk
from cliptide.app.training.config_file import read_config_file
from cliptide.app.training.loss import check_fits_task
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import ModelConfig, RunConfig
from cliptide.configs.sizes import parse_size
from cliptide.configs.streams import StepsConfig, StreamName, Streams
from cliptide.datasets.catalog import SAMPLE_KINDS, Catalog
from cliptide.datasets.folds import read_fold
from cliptide.datasets.labels import numbers_in
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.splits import SplitPlan
from cliptide.datasets.streams.arrays import columns_of
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.joint_map import BUILT_IN, read_joint_map
from cliptide.datasets.streams.learning import (
    MOST_SAMPLES,
    STANDARDISED,
    describe_streams,
    statistics_of,
    stream_names,
)
from cliptide.models.build import build_recognizer, check_frame_size
from cliptide.models.bundle import read_info, start_from
from cliptide.models.recognizer import Recognizer


def read_split(data: Path, config: RunConfig) -> tuple[Catalog, SplitPlan]:
    """Read a data set and split it as a config says; see `read_fold`."""
    keys = config.data
    return read_fold(
        data,
        kind=keys.kind,
        folds=keys.folds,
        fold=keys.fold,
        group_regex=keys.group_regex,
        task=keys.task,
        seed=config.seed,
        val_share=keys.val_share,
        test_share=keys.test_share,
    )


def config_from_model(path: Path) -> RunConfig:
    """The config to fine-tune a model file with: its network and its way of taking clips."""
    info = read_info(path)
    base = RunConfig()
    stored = {
        key: value
        for key, value in info.run.get("data", {}).items()
        if key
        in (
            "frames",
            "size",
            "sampling",
            "rate_fps",
            "stride",
            "augment",
            "flip",
            "fit",
            "task",
            "kind",
            "streams",
        )
    }
    # A layout of one data set says nothing of another.
    if stored.get("kind") not in SAMPLE_KINDS:
        stored.pop("kind", None)
    # The whole network's weights come from the file: the encoder needs none of its own.
    model = info.model | {"pretrained": False, "encoder_weights": None}
    return replace(
        base,
        data=replace(base.data, **stored),
        model=ModelConfig(**model),
        steps=info.streams.steps,
    )


def config_to_resume(folder: Path) -> tuple[Path | None, RunConfig]:
    """The data and the config of a run that was broken off.

    Raises:
        InputError: The folder holds no config, or no whole epoch to go on from.
    """
    data, config = read_config_file(folder / "config.yaml")
    checkpoint = folder / "last.ckpt"
    if not checkpoint.is_file():
        raise InputError(
            f"{folder} has no last.ckpt: its first epoch was never finished. "
            "Train anew with --overwrite."
        )
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch fail each in its own way
        raise InputError(
            f"{checkpoint} is damaged ({type(error).__name__}). Train anew with --overwrite."
        ) from error
    return data, config


def load_checkpoint(network: Recognizer, folder: Path) -> None:
    """Give a network the weights that a broken run had at its last whole epoch."""
    stored = torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    network.load_state_dict(
        {name.removeprefix(prefix): v for name, v in stored.items() if name.startswith(prefix)}
    )


def trainer_precision(name: str, device: torch.device) -> Any:
    """Turn `train.precision` into Lightning's name for it; `auto` takes bf16 where the GPU has it.

    Raises:
        ConfigError: The device cannot compute in that format.
    """
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if fast else "32-true"
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("train.precision fp16 needs a GPU. Use auto, bf16 or fp32 on a CPU.")
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[name]


def require_learnt_encoder(config: RunConfig) -> None:
    """Refuse to freeze an encoder that has learnt nothing.

    Raises:
        ConfigError: It would stay as random as it begins.
    """
    if config.model.freeze and not (config.model.pretrained or config.model.encoder_weights):
        raise ConfigError(
            f"model.freeze is true, but the encoder {config.model.encoder} would be left as "
            "random as it begins. Give --model.encoder_weights FILE, --model.pretrained true "
            "or --init MODEL, or leave model.freeze out."
        )


def with_whole_path(config: RunConfig) -> RunConfig:
    """The config with the files it names written so that they are found from any folder."""
    weights, steps = config.model.encoder_weights, config.steps
    if weights is not None:
        weights = str(Path(weights).resolve())
    joints, cache = steps.joints, steps.flow_cache
    if joints is not None and joints not in BUILT_IN:
        joints = str(Path(joints).resolve())
    if cache is not None:
        cache = str(Path(cache).resolve())
    return replace(
        config,
        model=replace(config.model, encoder_weights=weights),
        steps=replace(steps, joints=joints, flow_cache=cache),
    )


def fresh_network(
    config: RunConfig,
    catalog: Catalog,
    plan: SplitPlan,
    *,
    load_weights: bool,
    streams: Streams | None = None,
) -> Recognizer:
    """Build the network as the seed draws it.

    Args:
        config: How.
        catalog: The data set.
        plan: Its split, of whose training part it learns what columns are like.
        load_weights: Whether the encoder is given its pretrained weights, and the columns' mean
            and spread; both follow from elsewhere where not.
        streams: What samples consist of; found out where None.

    Raises:
        ConfigError: It cannot be trained as `config` says.
        DataError: No training sample has what is to be read.
    """
    size = parse_size(config.data.size)
    train_records = [record for record in plan.records if record.split == "train"]
    described = streams or describe_streams(
        catalog, train_records, asked=config.data.stream_names(), steps=config.steps
    )
    torch.manual_seed(config.seed)
    network = build_recognizer(
        config.model,
        num_classes=len(catalog.class_names),
        load_weights=load_weights,
        task=catalog.task,
        size=size,
        streams=described,
    )
    if catalog.task == "regression":
        targets = [numbers_in(record.label) for record in train_records]
        for scale in network.target_scales:
            scale.set_from(torch.tensor(targets, dtype=torch.float64))
    shown = described.picture_size(size)
    check_frame_size(network, encoder=config.model.encoder, size=shown)
    if load_weights:
        _standardise(network, train_records, size=size, seed=config.seed)
    check_chunk(network, config.train.chunk)
    for encoder in network.stream_encoders.values():
        encoder.checkpointing = config.train.checkpointing
    return network


def _standardise(
    network: Recognizer, records: Sequence[SampleRecord], *, size: tuple[int, int], seed: int
) -> None:
    """Give the encoders of sound and arrays the mean and spread of the training samples."""
    for stream in build_streams(network.streams, size=size):
        if stream.name not in STANDARDISED:
            continue
        looking = track(
            statistics_of(stream, records, seed=seed, alone=len(network.streams.names) == 1),
            total=min(len(records), MOST_SAMPLES),
            what=f"Measuring {stream.name}",
            unit="samples",
        )
        *_, found = looking
        assert found is not None, "the last thing that is given"
        encoder: Any = network.stream_encoders[stream.name]
        encoder.standardise_by(torch.from_numpy(found.centre), torch.from_numpy(found.spread))
        if stream.note:
            log(f"Note: {stream.note}")


# Which streams' weights have learnt steps as each key of `StepsConfig` makes them. Keys of none
# change what is read, and not what a step is; of joints the map counts, and not where it lies.
_WINDOWED: tuple[StreamName, ...] = ("audio", "arrays", "rows", "text")
_LEARNT_BY: Mapping[str, tuple[StreamName, ...]] = {
    "count": (),
    "window": _WINDOWED,
    "hop": _WINDOWED,
    "image": ("rgb", "rows"),
    "patch": ("rgb",),
    "image_rate": (),
    "sample_rate": ("audio",),
    "mels": ("audio",),
    "row_rate": (),
    "joints": (),
    "tokens": ("text",),
    "vocabulary": ("text",),
    "flow": ("flow",),
    "flow_cache": (),
}


def _streams_of_init(init: Path, config: RunConfig, catalog: Catalog) -> Streams:
    """What a model to start from reads, for the samples here.

    Raises:
        ConfigError: The config asks for other steps, which its weights do not fit.
    """
    found = read_info(init).streams
    asked = stream_names(config.data.stream_names(), catalog.samples, steps=config.steps)
    if asked != found.names:
        read, held = ",".join(found.names), Nouns.of_samples(catalog.samples).samples
        if config.data.stream_names():
            raise ConfigError(
                f"data.streams is {','.join(asked)}, but {init} reads {read}, and its weights fit "
                "nothing else. Leave data.streams out, or start without --init."
            )
        wanted = Nouns.of_samples(found.samples).samples
        other = f"give {wanted}" if wanted != held else "leave --config and steps.image out"
        raise ConfigError(
            f"{init} reads {read} of {wanted}, but {catalog.root} holds {held}, to be read as "
            f"{','.join(asked)}, and its weights fit nothing else. Start without --init, or "
            f"{other}."
        )
    for field in fields(StepsConfig):
        matters = bool({*_LEARNT_BY[field.name]} & {*found.names})
        if field.name == "patch":
            matters &= found.steps.image == "patches"
        new, old = getattr(config.steps, field.name), getattr(found.steps, field.name)
        if matters and new != old:
            raise ConfigError(
                f"steps.{field.name} is {new}, but {init} was trained with {old}, and its weights "
                f"fit nothing else. Leave steps.{field.name} out, or start without --init."
            )
    if "arrays" in found.names:
        _check_columns(init, found, catalog)
    joints = config.steps.joints
    if (
        "arrays" in found.names
        and joints is not None
        and read_joint_map(joints, num_values=found.num_values) != found.joints
    ):
        trained = "another joint map" if found.joints else "none"
        raise ConfigError(
            f"steps.joints is {joints}, but {init} was trained with {trained}, and its weights "
            "fit nothing else. Leave steps.joints out, or start without --init."
        )
    return replace(found, samples=catalog.samples, steps=config.steps)


def _check_columns(init: Path, found: Streams, catalog: Catalog) -> None:
    num_values, columns = columns_of(catalog.records)
    here, there = f"{num_values} numbers in a row", f"{found.num_values}"
    if num_values == found.num_values:
        if not columns or not found.columns or {*columns} == {*found.columns}:
            return
        here, there = f"the columns {', '.join(columns)}", ", ".join(found.columns)
    raise ConfigError(
        f"The arrays of {catalog.root} have {here}, but {init} was trained with {there}, and its "
        "weights fit nothing else. Give arrays of the same columns, or start without --init."
    )


def start_from_model(
    network: Recognizer, init: Path, catalog: Catalog, plan: SplitPlan
) -> SplitPlan:
    """Copy a model's weights; where it was trained on another split, nothing is proven any more."""
    info = read_info(init)
    same = (info.task, info.class_names) == (catalog.task, catalog.class_names)
    fresh = start_from(network, init, same_classes=same)
    log(f"Starting from {init}" + (", with a new head for the labels here" if fresh else ""))
    if info.split_fingerprint == plan.fingerprint:
        return plan
    clips = Nouns.of_samples(catalog.samples).records
    note = (
        f"{init.name} was trained on other {clips} or another split. If those hold test {clips} "
        "of this one, the score will be too good."
    )
    return replace(plan, groups_known=False, notes=(*plan.notes, note))


def new_network(
    config: RunConfig,
    catalog: Catalog,
    plan: SplitPlan,
    *,
    init: Path | None,
    device: torch.device,
) -> tuple[Recognizer, SplitPlan]:
    """Build the network of a new run; gives its split too, which `init` may make doubtful.

    Whatever a run can be refused for is refused here, so that nothing need be written before.

    Raises:
        InputError: The config, the weights or `init` do not fit.
    """
    # Before the data is looked at.
    names = stream_names(config.data.stream_names(), catalog.samples, steps=config.steps)
    check_fits_task(config.train, catalog, streams=names)
    trainer_precision(config.train.precision, device)
    if init is not None:
        streams = _streams_of_init(init, config, catalog)
        network = fresh_network(config, catalog, plan, load_weights=False, streams=streams)
        return network, start_from_model(network, init, catalog, plan)
    require_learnt_encoder(config)
    return fresh_network(config, catalog, plan, load_weights=True), plan
