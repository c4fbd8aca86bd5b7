"""Reading a data set the way a model's own was read, and holding it against the model."""

import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log
from cliptide.configs.checks import nearest
from cliptide.configs.errors import ConfigError, DataError, InputError, SplitError
from cliptide.configs.schema import DataConfig
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.catalog.wording import counted
from cliptide.datasets.folds import read_fold
from cliptide.datasets.labels import classes_of, joined_names, numbers_in
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.splits import SplitPlan, make_splits, require_split
from cliptide.models.info import ModelInfo

# More names than these make a message that nobody reads.
_MOST_NAMED = 10


@dataclass(frozen=True)
class ToScore:
    """What a model is to be scored on.

    Attributes:
        catalog: The data set as it lies on disk, its classes renamed as asked for.
        plan: Its clips and their splits. Of another split than the model's own nothing is
            said about leaks: only these clips could be compared with each other.
        records: The clips to be scored.
        same_split: Whether it is the split of the model's own training.
    """

    catalog: Catalog
    plan: SplitPlan
    records: tuple[SampleRecord, ...]
    same_split: bool


def read_to_score(
    data: Path,
    info: ModelInfo,
    *,
    split: str,
    seed: int,
    given: Mapping[str, Any],
    renames: Mapping[str, str],
) -> ToScore:
    """Read a data set for a model that is to be scored on it.

    Args:
        data: The data set.
        info: What the model file says.
        split: `test`, `val`, `train` or `all`.
        seed: Of a split that has to be made.
        given: What the user says of the layout (`kind`, `fold`, `group_regex`); what is not
            given is as in the model's training, where that fits.
        renames: Classes of the data set and the model's names for them.

    Raises:
        InputError: The data cannot be read so, has classes the model does not know, or a rename
            fits neither side.
    """
    fold = None if given else _fold_of_training(data, info=info, seed=seed)
    if fold is not None:
        catalog, plan = fold
        _check_renames(renames, catalog, info, data=data)
        catalog, plan = _renamed(catalog, renames), _renamed_plan(plan, renames, catalog.task)
    else:
        catalog, config = _read_as_trained(data, info=info, given={**given, "task": info.task})
        _check_renames(renames, catalog, info, data=data)
        catalog = _renamed(catalog, renames)
        plan = _plan(catalog, config, split=split, seed=seed)
    for note in (*catalog.notes, *plan.notes):
        log(f"Note: {note}")
    records = (
        plan.records if split == "all" else require_split(plan.records, split, where=str(data))
    )
    _refuse_unknown_classes(records, info, data=data)
    same_split = plan.fingerprint == info.split_fingerprint
    if not same_split:
        plan = replace(plan, groups_known=False, torn_groups=())
    return ToScore(catalog, plan, tuple(records), same_split)


def parse_renames(texts: Sequence[str]) -> dict[str, str]:
    """Read `old=new` texts.

    Raises:
        InputError: A text is not of that form, or two name the same class.
    """
    renames: dict[str, str] = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise InputError(
                f"--map is {text!r}. Write a class of DATA and the model's name for it, such as "
                "--map rising=rise."
            )
        if renames.get(old, new) != new:
            raise InputError(f"--map names {old!r} twice. Give one of the two.")
        renames[old] = new
    return renames


def _check_renames(
    renames: Mapping[str, str], catalog: Catalog, info: ModelInfo, *, data: Path
) -> None:
    if renames and info.task == "regression":
        raise InputError("--map renames classes, but this model predicts numbers. Leave it out.")
    sides = (
        (renames.keys(), catalog.class_names, f"{data} has no class"),
        (renames.values(), info.class_names, "The model has no class"),
    )
    for names, known, what in sides:
        for name in names:
            if name not in known:
                near = nearest(name, known) or list(known)[:_MOST_NAMED]
                raise InputError(f"--map: {what} {name!r}. Use one of: {', '.join(near)}.")


def _renamed(catalog: Catalog, renames: Mapping[str, str]) -> Catalog:
    return replace(
        catalog,
        records=_relabelled(catalog.records, renames, catalog.task),
        class_names=tuple(dict.fromkeys(renames.get(n, n) for n in catalog.class_names)),
    )


def _renamed_plan(plan: SplitPlan, renames: Mapping[str, str], task: Task) -> SplitPlan:
    return replace(plan, records=_relabelled(plan.records, renames, task))


def _relabelled(
    records: Sequence[SampleRecord], renames: Mapping[str, str], task: Task
) -> tuple[SampleRecord, ...]:
    def new_label(label: str) -> str:
        names = [renames.get(name, name) for name in classes_of(label, task)]
        return joined_names(set(names)) if task == "multi" else names[0]

    if not renames:
        return tuple(records)
    return tuple(replace(record, label=new_label(record.label)) for record in records)


def _fold_of_training(
    data: Path, *, info: ModelInfo, seed: int
) -> tuple[Catalog, SplitPlan] | None:
    """The fold that a model of a cross-validation was trained on; None where this is no such."""
    stored = info.run.get("data", {})
    if not stored.get("folds"):
        return None
    keys = ("kind", "folds", "fold", "group_regex", "val_share", "test_share")
    try:
        catalog, plan = read_fold(
            data, seed=seed, task=info.task, **{key: stored[key] for key in keys}
        )
    except (ConfigError, DataError):
        return None  # other data, which is read as it lies
    return (catalog, plan) if plan.fingerprint == info.split_fingerprint else None


def _read_as_trained(
    data: Path, *, info: ModelInfo, given: dict[str, Any]
) -> tuple[Catalog, DataConfig]:
    """Read a data set the way the model's own was read, or as it lies if that does not fit it."""
    keys = ["kind", "fold", "group_regex", "val_share", "test_share"]
    if info.run.get("data", {}).get("folds"):
        keys.remove("fold")  # it counts folds that were dealt for the training alone
    stored = {key: value for key, value in info.run.get("data", {}).items() if key in keys}
    config = DataConfig(**stored | given)
    try:
        return _read(data, config), config
    except (ConfigError, DataError) as error:
        shares = {key: stored[key] for key in ("val_share", "test_share") if key in stored}
        plain = DataConfig(**shares | given)
        if plain == config:
            raise
        catalog = _read(data, plain)
        log(f"Note: {data} is not read as the model's training data was. {error}")
        return catalog, plain


def _read(data: Path, config: DataConfig) -> Catalog:
    return read_catalog(
        data,
        kind=config.kind,
        fold=config.fold,
        group_regex=config.group_regex,
        task=config.task,
    )


def _plan(catalog: Catalog, config: DataConfig, *, split: str, seed: int) -> SplitPlan:
    try:
        return make_splits(
            catalog, seed=seed, val_share=config.val_share, test_share=config.test_share
        )
    except SplitError:
        if catalog.split_origin is None and split != "all":
            raise
        # Too little to train on, such as a list of test clips alone, can be scored all the same.
        return SplitPlan(
            records=catalog.records,
            origin=catalog.split_origin or "made",
            torn_groups=(),
            fingerprint="",
            groups_known=False,
            notes=(),
        )


def _refuse_unknown_classes(
    records: Sequence[SampleRecord], info: ModelInfo, *, data: Path
) -> None:
    class_names = info.class_names
    if info.task == "regression":
        found = len(numbers_in(records[0].label))
        if found != len(class_names):
            raise DataError(
                f"{data} has {counted(found, 'target')} in each row, but the model predicts "
                f"{len(class_names)}. Give as many numbers as labels, in the model's order."
            )
        return
    labels = {name for record in records for name in classes_of(record.label, info.task)}
    check_labels_known(labels, class_names, data=data, nouns=Nouns.of_streams(info.streams))


def check_labels_known(
    labels: Set[str], class_names: Sequence[str], *, data: Path, nouns: Nouns
) -> None:
    """Refuse labels of a data set that a model does not know.

    Args:
        labels: Those of the data set.
        class_names: Those of the model.
        data: The data set.
        nouns: What the model's samples are called.

    Raises:
        DataError: Names them, and what they may have meant.
    """
    strangers = sorted(labels - set(class_names))
    if not strangers:
        return
    unmet = [name for name in class_names if name not in labels]
    name = strangers[0]
    near = nearest(name, unmet) or nearest(name, class_names)
    alike = f" (nearest: {', '.join(near)})" if near else ""
    unknown = [f"{name!r}{alike}", *map(repr, strangers[1:])]
    missing = f" Here is no {nouns.sample} of: {_listed(unmet)}." if unmet else ""
    example = f"{name}={near[0] if near else (unmet or class_names)[0]}"
    raise DataError(
        f"{data} has classes that the model does not know: {_listed(unknown)}. It knows: "
        f"{_listed(class_names)}.{missing} Say which class of the model is meant, such as "
        f"--map {shlex.quote(example)}, list the other {nouns.records} in a CSV, or fine-tune with "
        "cliptide train --init."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
