"""One run from its arguments: everything is checked before anything is written."""

import os
from dataclasses import replace
from pathlib import Path

from cliptide.app.evaluation.run_folder import claim_run_folder, data_name
from cliptide.app.inference.device import resolve_device
from cliptide.app.training.config_file import write_config_file
from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.run import Run, TrainingResult
from cliptide.app.training.split_table import show_split
from cliptide.app.training.start import (
    config_from_model,
    config_to_resume,
    fresh_network,
    load_checkpoint,
    new_network,
    read_split,
    trainer_precision,
    with_whole_path,
)
from cliptide.configs.errors import InputError
from cliptide.configs.schema import RunConfig
from cliptide.models.bundle import read_info


def train_single(
    data: str | os.PathLike[str] | None,
    *,
    config: RunConfig | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str | None = None,
    store: EncodedStore | None = None,
) -> TrainingResult:
    """Train once, or go on with a run.

    Args:
        data: See `train`, as for all others but the last.
        config: See `train`.
        out: See `train`.
        resume: See `train`.
        init: See `train`.
        overwrite: See `train`.
        device: See `train`.
        store: Features of a frozen encoder that other runs share.

    Raises:
        InputError: The data, the config or an option is wrong.
    """
    if resume is not None:
        folder = Path(resume)
        stored_data, config = config_to_resume(folder)
        data = data if data is not None else stored_data
    elif config is None:
        config = config_from_model(Path(init)) if init is not None else RunConfig()
    if data is None:
        raise InputError("No data was given. Name a folder of samples or a manifest CSV.")

    data = Path(data)
    config = with_whole_path(config)
    where = resolve_device(device or config.device)
    precision = trainer_precision(config.train.precision, where)
    catalog, plan = read_split(data, config)
    if resume is not None:
        before = read_info(folder / "model.safetensors")
        if before.split_fingerprint != plan.fingerprint:
            raise InputError(
                f"{data} is not what {folder} was trained on: its split has the fingerprint "
                f"{plan.fingerprint}, not {before.split_fingerprint}. Give the data as it was, or "
                "start a new run."
            )
        # What was learnt before training, such as a tokenizer, is that of the weights.
        streams = replace(before.streams, steps=config.steps)
        network = fresh_network(config, catalog, plan, load_weights=False, streams=streams)
        load_checkpoint(network, folder)
    else:
        start = Path(init) if init is not None else None
        network, plan = new_network(config, catalog, plan, init=start, device=where)
        folder = claim_run_folder(
            data_name(data), out=Path(out) if out is not None else None, overwrite=overwrite
        )
        write_config_file(folder / "config.yaml", data=data, config=config, init=start)
    show_split(catalog, plan)
    run = Run(
        folder,
        config,
        catalog,
        plan,
        network,
        where,
        precision,
        resumed=resume is not None,
        store=store,
    )
    return run.fit_and_evaluate()
