"""The study in its storage: opened or refused, and its trials as plain rows.

Several processes, also on several machines, may work on one study. A trial whose process died
is marked and done again: at once where the process was on this machine, else when its heartbeat
has been missing for minutes. Every trial has a draw number, by which its random values are
drawn; a trial done again keeps its own, so a study that was killed makes the same trials as one
that was not.
"""

import json
import math
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from cliptide.app.tuning.space import Space, describe_space, flat_values
from cliptide.app.tuning.storage import create_or_load, without_password
from cliptide.configs.errors import InputError
from cliptide.configs.schema import RunConfig

MIN_TRIALS_FOR_IMPORTANCE = 8

# What the validation loss is computed by; weights and smoothing are of the training loss alone.
_KIND_OF_LOSS = {"train.loss", "train.focal_gamma"}

# Where a trial is computed changes no result worth comparing.
_NOT_COMPARED = ("data.workers", "data.keep")


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: In the study, counted from 0.
        state: `complete`, `pruned`, `failed`, `died` (and done again) or `running`.
        draw: Its draw number; 0 is the config that the search started from.
        values: {key: value} of the searched keys.
        figure: The validation figure, mean over the folds; of a pruned trial its last one.
        loss: The validation loss of the best epoch; None unless complete.
        epoch: The best epoch, comma-separated over the folds; empty unless complete.
        seconds: How long it took; None while it runs.
        curve: (step, figure) of each epoch.
        error: Why it failed.
    """

    number: int
    state: str
    draw: int
    values: Mapping[str, Any]
    figure: float | None
    loss: float | None
    epoch: str
    seconds: float | None
    curve: tuple[tuple[int, float], ...]
    error: str

    @property
    def base(self) -> bool:
        """Whether it is the config that the search started from."""
        return self.draw == 0


def settings_of(
    *, fingerprint: str, config: RunConfig, space: Space, folds: int | None
) -> dict[str, Any]:
    """What must be the same for trials to be comparable, as plain values."""
    base = {key: value for key, value in flat_values(config).items() if key not in _NOT_COMPARED}
    base["data.size"] = str(base["data.size"])  # a flag gives text, YAML a number
    if weights := base["model.encoder_weights"]:
        base["model.encoder_weights"] = Path(weights).name  # machines keep it in other places
    settings = {
        "data": fingerprint,
        "config": base | {"seed": config.seed},
        "space": describe_space(space),
        "folds": folds,
    }
    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own lines off the screen: each trial has one of ours."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def open_study(
    url: str, *, name: str, settings: Mapping[str, Any], pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    """Open a study, or make it.

    Args:
        url: An Optuna storage URL, such as `sqlite:///study.db`.
        name: Of the study in its storage.
        settings: What `settings_of` gave.
        pruner: What ends trials early.

    Raises:
        InputError: The storage cannot be reached, or the study is one of other settings.
    """
    study = create_or_load(url, name=name, pruner=pruner, when_dead=redo)
    stored = study.user_attrs.get("settings")
    if stored is None:
        study.set_user_attr("settings", dict(settings))
    elif difference := difference_of(stored, settings):
        raise InputError(
            f"The study {name!r} in {without_password(url)} {difference} Give another --out (or "
            "--study or --study_name) to begin a new one, or the settings that it was begun with."
        )
    return study


def difference_of(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Say in what a study differs from what is asked for; nothing where it does not."""
    if stored["data"] != settings["data"]:
        return (
            f"is of another data set or split (fingerprint {stored['data']}, here "
            f"{settings['data']})."
        )
    if stored["folds"] != settings["folds"]:
        return f"was begun with --folds {stored['folds']}, not {settings['folds']}."
    if stored["space"] != settings["space"]:
        keys = sorted(
            key
            for key in {*stored["space"], *settings["space"]}
            if stored["space"].get(key) != settings["space"].get(key)
        )
        return f"searches another space: {', '.join(keys[:3])} differ{'s' * (len(keys) == 1)}."
    # A version that has more keys than the one before does not make another config.
    for key, value in stored["config"].items():
        now = settings["config"].get(key, value)
        if now != value:
            return f"was begun with {key} {value}, not {now}."
    return ""


def redo(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial that died, to be done again with the values that it had."""
    attrs = {"redo_of": trial.number}
    if "draw" in trial.user_attrs:
        attrs["draw"] = trial.user_attrs["draw"]
    study.enqueue_trial(trial.params, user_attrs=attrs)


def mark_process(trial: optuna.Trial) -> None:
    """Write down which process works on a trial."""
    trial.set_user_attr("process", _process(os.getpid()))


def redo_died(study: optuna.Study) -> list[int]:
    """Mark the trials whose process on this machine is gone, and queue them again.

    Returns:
        Their numbers.
    """
    died = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = trial.user_attrs.get("process")
        if process is None or process["host"] != socket.gethostname():
            continue
        if process == _process(process["pid"]):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except ValueError:  # another process has just marked it
            continue
        redo(study, trial)
        died.append(trial.number)
    return died


def _process(pid: int) -> dict[str, Any] | None:
    """A process so that no later one of the same number is taken for it; None once it is gone.

    Known on Linux; elsewhere every process passes for gone from the start, is not written down,
    and is missed by its heartbeat.
    """
    try:
        # Field 22 of the kernel's line: when the process started, in ticks since the machine did.
        line = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = line.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):  # killed, and its parent has not looked yet
        return None
    return {"host": socket.gethostname(), "pid": pid, "started": fields[19]}


def draw_number(study: optuna.Study, trial: optuna.Trial) -> int:
    """The number by which a trial draws its values: its own, less the trials done again before."""
    given = trial.user_attrs.get("draw")
    if given is not None:
        return int(given)
    before = (t for t in study.get_trials(deepcopy=False) if t.number < trial.number)
    return trial.number - sum("redo_of" in t.user_attrs for t in before)


def trials_of(study: optuna.Study, *, space: Space, base: RunConfig) -> list[Trial]:
    """The study's trials as rows, in order."""
    here = flat_values(base)
    names = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
        TrialState.RUNNING: "running",
    }
    rows = []
    for trial in study.get_trials(deepcopy=False):
        attrs = trial.user_attrs
        if trial.state not in names or "surplus" in attrs or "draw" not in attrs:
            continue
        error = attrs.get("error", "")
        died = trial.state is TrialState.FAIL and not error
        rows.append(
            Trial(
                number=trial.number,
                state="died" if died else names[trial.state],
                draw=attrs["draw"],
                values={key: trial.params.get(key, here[key]) for key in space},
                figure=trial.value if trial.state.is_finished() else None,
                loss=attrs.get("loss"),
                epoch=attrs.get("epoch", ""),
                seconds=trial.duration.total_seconds() if trial.duration else None,
                curve=tuple(sorted(trial.intermediate_values.items())),
                error=error,
            )
        )
    return rows


def ranked(trials: list[Trial]) -> list[Trial]:
    """The complete trials, the best first: by figure, then by loss, then the earlier one.

    Losses of several kinds are no measure of each other: where the space holds such keys, the
    earlier one of equals comes first.
    """
    complete = [trial for trial in trials if trial.state == "complete"]

    def rank(trial: Trial) -> tuple[float, float, int]:
        comparable = trial.loss is not None and not _KIND_OF_LOSS & trial.values.keys()
        return (
            -(trial.figure if trial.figure is not None else -math.inf),
            trial.loss if comparable and trial.loss is not None else math.inf,
            trial.number,
        )

    return sorted(complete, key=rank)


def importances(study: optuna.Study, *, space: Space) -> dict[str, float]:
    """The share that each searched key has in how the figures of complete trials differ.

    Hutter et al. (2014), "An Efficient Approach for Assessing Hyperparameter Importance", or what
    Optuna takes by default; the trials that lack a key (the one it all started from) are left
    out.

    Returns:
        {key: share}, the largest first; empty where too few trials differ to say anything.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    keys = [key for key in space if len({repr(trial.params.get(key)) for trial in complete}) > 1]
    whole = [trial for trial in complete if all(key in trial.params for key in keys)]
    if len(whole) < MIN_TRIALS_FOR_IMPORTANCE or len({trial.value for trial in whole}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        shares = optuna.importance.get_param_importances(study, params=keys)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
