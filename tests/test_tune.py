"""The search as a whole: killed and resumed, shared, pruned, and blind to the test split."""

import csv
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
import yaml

from cliptide.app.cli import main
from cliptide.app.tuning import study as study_module
from cliptide.app.tuning.page import drawable
from cliptide.app.tuning.study import Trial, difference_of, ranked, settings_of
from cliptide.app.tuning.tune import tune
from cliptide.configs.errors import ConfigError, InputError, SplitError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic import write_dataset, write_video

TINY = RunConfig(
    data=DataConfig(frames=3, size=16, flip=False, workers=0, keep="never"),
    model=ModelConfig(width=0.25, hidden=8),
    train=TrainConfig(epochs=1, batch_size=16, lr=3e-3),
    eval=EvalConfig(clips=1),
    device="cpu",
)
SPACE = {
    "train.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.hidden": [4, 8],
    "model.temporal": ["gru", "lstm"],
}
TRIALS = 6


def drawn(result):
    """What was tried and found, whatever the numbers of the trials."""
    return sorted(
        (*map(str, trial.values.values()), trial.figure, trial.loss, trial.base)
        for trial in result.trials
        if trial.state in ("complete", "pruned")
    )


@pytest.fixture(scope="module")
def finished(small_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("tune") / "study"
    return tune(small_data, config=TINY, space=SPACE, trials=TRIALS, out=out)


@pytest.fixture
def command(tmp_path):
    """The command line of the same search, its files apart."""
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE), encoding="utf-8")
    words = ["--space", str(tmp_path / "space.yaml"), "--trials", str(TRIALS)]
    for section, keys in {
        "data": {"frames": 3, "size": 16, "flip": "false", "workers": 0, "keep": "never"},
        "model": {"width": 0.25, "hidden": 8},
        "train": {"epochs": 1, "batch_size": 16, "lr": 3e-3},
        "eval": {"clips": 1},
    }.items():
        for key, value in keys.items():
            words += [f"--{section}.{key}", str(value)]
    return [*words, "--device", "cpu"]


def states_in(folder):
    path = folder / "trials.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row["state"] for row in csv.DictReader(file)]


def test_the_folder_holds_study_best_config_table_and_page_and_no_models(finished):
    assert {path.name for path in finished.out.iterdir()} == {
        "study.db",
        "best.yaml",
        "trials.csv",
        "study.html",
    }
    assert states_in(finished.out) == ["complete"] * TRIALS


def test_the_first_trial_is_the_config_itself_so_the_best_is_no_worse(finished):
    first = finished.trials[0]
    assert first.base
    assert first.values == {"train.lr": 3e-3, "model.hidden": 8, "model.temporal": "gru"}
    assert finished.best.figure >= first.figure


def test_the_best_has_the_highest_figure_and_among_equals_the_lowest_loss(finished):
    best = min(finished.trials, key=lambda t: (-t.figure, t.loss, t.number))
    assert finished.best == best


def test_the_best_config_trains_as_it_is_written(finished, tmp_path):
    """And the trained model has the very figure that the trial had."""
    from cliptide.models.bundle import read_info

    out = tmp_path / "run"
    assert main(["train", "--config", str(finished.best_config_file), "--out", str(out)]) == 0
    val = read_info(out / "model.safetensors").metrics["val"]
    assert val["top1"] == finished.best.figure
    assert val["loss"] == pytest.approx(finished.best.loss, rel=1e-6)


def test_the_page_is_whole_and_asks_no_network(finished):
    page = finished.page.read_text("utf-8")
    head, _, rest = page.partition('<script type="application/json"')
    assert f"{finished.best.figure:.3f}" in head
    assert f"cliptide train --config {finished.best_config_file}" in head
    assert "default-src 'none'" in head and "src=" not in head
    assert rest.count("plotly.js v") >= 1 and page.count("<script") == 3


def test_names_on_the_page_are_text_and_never_markup(small_data, tmp_path):
    evil = "<b>x</b>"
    out = tmp_path / f"study {evil.replace('/', '')}"
    result = tune(small_data, config=TINY, space={"model.hidden": [8]}, trials=1, out=out)
    head = result.page.read_text("utf-8").partition('<script type="application/json"')[0]
    assert "<b>x<b>" not in head and "&lt;b&gt;x&lt;b&gt;" in head


def test_the_same_command_again_adds_nothing_and_more_trials_go_on(finished, small_data, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(finished.out, copy)
    again = tune(small_data, config=TINY, space=SPACE, trials=TRIALS, out=copy)
    assert again.trials == finished.trials
    more = tune(small_data, config=TINY, space=SPACE, trials=TRIALS + 1, out=copy)
    assert more.trials[:TRIALS] == finished.trials and len(more.trials) == TRIALS + 1


def test_a_killed_search_resumes_to_the_same_trials_as_an_unbroken_one(
    finished, small_data, tmp_path, command, capfd
):
    out = tmp_path / "killed"
    words = [sys.executable, "-m", "cliptide.app", "tune", str(small_data), "--out", str(out)]
    with subprocess.Popen(
        [*words, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if len(states_in(out)) >= 2 and (out / "trials").exists():
                break  # the folder of a trial that is under way
            time.sleep(0.005)
        process.kill()
    assert 2 <= states_in(out).count("complete") < TRIALS, "it was to be killed in the middle"

    assert main(["tune", str(small_data), "--out", str(out), *command]) == 0
    printed = capfd.readouterr()
    resumed = tune(small_data, config=TINY, space=SPACE, trials=TRIALS, out=out)
    assert drawn(resumed) == drawn(finished)
    assert "1 trial died with their process: done again" in printed.err
    assert "Going on: " in printed.err
    assert f"cliptide train --config {out / 'best.yaml'}" in printed.out
    assert [t.state for t in resumed.trials].count("died") == 1
    assert not (out / "trials").exists()


def test_two_processes_share_one_study_and_folder_without_doing_a_trial_twice(
    finished, small_data, tmp_path, command
):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    words = [sys.executable, "-m", "cliptide.app", "tune", str(small_data), "--study", url]
    both = [
        subprocess.Popen(
            [*words, "--out", str(tmp_path / "both"), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    result = tune(
        small_data, config=TINY, space=SPACE, trials=TRIALS, study=url, out=tmp_path / "third"
    )
    assert drawn(result) == drawn(finished)
    assert {t.state for t in result.trials} == {"complete"}
    assert len(states_in(tmp_path / "both")) == TRIALS
    assert not list((tmp_path / "both").glob(".writing-*"))


def test_ctrl_c_stops_cleanly_says_how_to_go_on_and_the_trial_is_done_again(
    finished, small_data, tmp_path, command
):
    out = tmp_path / "stopped"
    words = [sys.executable, "-m", "cliptide.app", "tune", str(small_data), "--out", str(out)]
    with subprocess.Popen(
        # So many that a busy machine cannot have finished them when the key is pressed.
        [*words, *command, "--trials", str(10 * TRIALS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if len(states_in(out)) >= 1 and (out / "trials").exists():
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Go on with the same command, or --out {out}" in err and "Traceback" not in err
    done = len([state for state in states_in(out) if state in ("complete", "pruned")])
    resumed = tune(small_data, config=TINY, space=SPACE, trials=max(TRIALS, done), out=out)
    assert all(one in drawn(resumed) for one in drawn(finished))


def test_the_test_split_plays_no_part(finished, small_data, tmp_path):
    """Test clips that cannot be read and are called otherwise change no trial."""
    root = tmp_path / "videos"
    shutil.copytree(small_data, root)
    lists = root / "ucfTrainTestlist" / "testlist01.txt"
    for line in lists.read_text("utf-8").split():
        (root / line).write_bytes(b"no video")
    first, second, *rest = lists.read_text("utf-8").split()
    a, b = root / first, root / second
    moved = [a.parent / f"moved_{b.name}", b.parent / f"moved_{a.name}"]
    b.rename(moved[0])
    a.rename(moved[1])
    lines = [path.relative_to(root).as_posix() for path in moved] + rest
    lists.write_text("\n".join(lines), encoding="utf-8")

    other = tune(root, config=TINY, space=SPACE, trials=3, out=tmp_path / "study")
    assert other.trials == finished.trials[:3] or [
        (t.values, t.figure, t.loss) for t in other.trials
    ] == [(t.values, t.figure, t.loss) for t in finished.trials[:3]]


def test_with_folds_a_trial_is_the_mean_over_all_clips_outside_test(tmp_path):
    root = tmp_path / "videos"
    list(write_dataset(root, groups=4, clips_per_group=1, num_frames=6, side=24))
    out = tmp_path / "study"
    result = tune(root, config=TINY, space=SPACE, trials=2, folds=3, out=out)
    for trial in result.trials:
        assert trial.epoch.count(",") == 2
        # 24 clips outside test, 8 in each of the three folds.
        assert trial.figure * 24 == pytest.approx(round(trial.figure * 24))
        assert [step for step, _ in trial.curve] == [1, 2, 3]
    assert "mean over 3 folds" in result.page.read_text("utf-8")
    with pytest.raises(SplitError, match=r"without its test split has 3 groups.*Use 3 folds"):
        tune(root, config=TINY, space=SPACE, trials=2, folds=4, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def write_colours(root):
    """Four classes that differ in colour: learnt in a few epochs."""
    colours = {
        "red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (120,) * 3
    }  # fmt: skip
    for group in range(6):
        for label, colour in colours.items():
            path = root / label / f"v_{label}_g{group + 1:02d}_c01.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, np.full((2, 16, 16, 3), colour, np.uint8) + np.uint8(group))
    return root


def test_trials_that_fall_behind_the_median_are_pruned(tmp_path):
    data = write_colours(tmp_path / "videos")
    # Once five trials are there, one of a rate that learns nothing must fall behind.
    config = replace(
        TINY,
        data=replace(TINY.data, augment="none", val_share=0.4, test_share=0.25),
        train=replace(TINY.train, epochs=6, lr=1e-2, batch_size=4),
    )
    space = {"train.lr": [1e-2, 1e-9], "train.weight_decay": {"low": 0.0, "high": 0.01}}
    options = {"config": config, "space": space}
    result = tune(data, **options, trials=12, out=tmp_path / "study")
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned and all(2 <= len(trial.curve) < 6 for trial in pruned)
    assert {trial.values["train.lr"] for trial in pruned} == {1e-9}
    assert result.best.values["train.lr"] == 1e-2
    whole = tune(data, **options, trials=9, prune=False, out=tmp_path / "whole")
    assert all(trial.state == "complete" for trial in whole.trials)


def test_tpe_searches_too(small_data, tmp_path):
    out = tmp_path / "study"
    result = tune(small_data, config=TINY, space=SPACE, trials=12, sampler="tpe", out=out)
    assert len({str(trial.values) for trial in result.trials}) > 6


def test_values_that_do_not_go_together_are_told_and_others_are_drawn(small_data, tmp_path, capfd):
    space = {"model.bidirectional": [True, False], "model.temporal": ["none", "gru"]}
    space["model.dropout"] = {"low": 0.0, "high": 0.5}
    result = tune(small_data, config=TINY, space=space, trials=12, out=tmp_path / "study")
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert failed and all("bidirectional" in trial.error for trial in failed)
    assert sum(trial.state == "complete" for trial in result.trials) == 12
    assert "model.bidirectional is true but" in capfd.readouterr().err


def test_a_space_of_which_nothing_can_be_trained_ends_with_the_reason(small_data, tmp_path):
    space = {"model.bidirectional": [True], "model.temporal": ["none"]}
    space["model.dropout"] = {"low": 0.0, "high": 0.5}
    with pytest.raises(ConfigError, match=r"10 trials in a row.*bidirectional.*Narrow the space"):
        tune(small_data, config=TINY, space=space, trials=3, out=tmp_path / "study")


def test_a_start_that_cannot_be_trained_is_an_error_of_its_own(small_data, tmp_path):
    config = replace(TINY, model=replace(TINY.model, freeze=True))
    with pytest.raises(ConfigError, match=r"model.freeze is true.*leave model.freeze out"):
        tune(small_data, config=config, space=SPACE, trials=3, out=tmp_path / "study")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": 0}, r"--trials is 0. Use 1 or more"),
        ({"sampler": "grid"}, r"--sampler is 'grid'. Use one of: random, tpe"),
        ({"folds": 1}, r"folds is 1. Use 2 or more"),
        ({"space": {}}, r"space is empty. Give"),
        ({"study": "study.db"}, r"'study.db' is no storage URL. Use one such as sqlite:///"),
        ({"study": "nosql://x/y"}, r"'nosql://x/y' is no storage URL. Use one such as"),
        ({"study": "sqlite:////no/such/folder/s.db"}, r"cannot be opened: unable to open.*Mend"),
    ],
)
def test_a_wrong_option_is_refused_with_the_mend(small_data, tmp_path, change, message):
    options = {"config": TINY, "space": SPACE, "trials": 1, "out": tmp_path / "study"} | change
    with pytest.raises(InputError, match=message):
        tune(small_data, **options)


def test_a_study_of_another_data_set_is_refused(finished, tmp_path):
    root = tmp_path / "other"
    list(write_dataset(root, groups=5, clips_per_group=1, num_frames=6, side=24))
    with pytest.raises(InputError, match=r"another data set or split.*Give another --out"):
        tune(root, config=TINY, space=SPACE, trials=TRIALS, out=finished.out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 2}, r"--folds None, not 2"),
        ({"space": SPACE | {"model.layers": [1, 2]}}, r"another space: model.layers differs"),
        (
            {"config": replace(TINY, seed=0, train=replace(TINY.train, epochs=3))},
            r"epochs 1, not 3",
        ),
    ],
)
def test_a_study_of_other_settings_is_refused(finished, small_data, change, message):
    options = {"config": TINY, "space": SPACE, "trials": TRIALS, "out": finished.out} | change
    with pytest.raises(InputError, match=rf"{message}.*Give another --out"):
        tune(small_data, **options)


def test_where_a_trial_is_computed_makes_no_other_study():
    first = settings_of(fingerprint="x", config=TINY, space={}, folds=None)
    moved = replace(TINY, data=replace(TINY.data, workers=4, keep="auto"), device="cuda")
    assert not difference_of(
        first, settings_of(fingerprint="x", config=moved, space={}, folds=None)
    )
    older = {**first, "config": {k: v for k, v in first["config"].items() if k != "model.head"}}
    assert not difference_of(older, first), "a key that a later version added"


def test_the_same_command_without_out_finds_its_own_folder(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = tune(small_data, config=TINY, space=SPACE, trials=1)
    assert tune(small_data, config=TINY, space=SPACE, trials=1).out == one.out
    other = tune(small_data, config=TINY, space={"model.hidden": [8]}, trials=1)
    assert other.out != one.out


def test_a_folder_of_something_else_is_not_written_into(small_data, small_run):
    with pytest.raises(InputError, match=r"holds a training run.*another --out"):
        tune(small_data, config=TINY, space=SPACE, trials=1, out=small_run)


def test_a_trial_without_heartbeat_is_queued_again_with_its_values(tmp_path):
    """As for a process on another machine, of which only the heartbeat is known."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    pruner = optuna.pruners.NopPruner()
    with study_module.quiet_optuna():
        study = study_module.open_study(url, name="n", settings={"a": 1}, pruner=pruner)
    # Optuna asks for its own loop, which has nothing to prove here.
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")
    trial = study.ask()
    value = trial.suggest_float("x", 0, 1)
    trial.set_user_attr("draw", 0)
    trial.set_user_attr("process", {"host": "elsewhere", "pid": 1, "started": "2"})
    assert study_module.redo_died(study) == [], "nothing is known here of processes elsewhere"
    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    study._storage.get_heartbeat_stale_trial_callback()(study, study.trials[0])
    again = study.ask()
    assert again.suggest_float("x", 0, 1) == value
    assert again.user_attrs == {"redo_of": 0, "draw": 0}


def test_without_optuna_the_install_line_is_given():
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from cliptide.app.cli import main\n"
        "sys.exit(main(['tune', '.']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 2
    assert "needs Optuna. Install it with: pip install 'cliptide[tune]'" in run.stderr


def test_a_trial_that_diverged_ranks_last_and_is_not_drawn():
    lost = Trial(0, "complete", 0, {"k": 1}, float("-inf"), None, "1", 1.0, ((1, 0.5),), "")
    good = replace(lost, number=1, draw=1, figure=0.5, loss=1.0)
    assert ranked([lost, good]) == [good, lost]
    assert drawable([lost, good, replace(good, figure=None)]) == [good]


def test_equals_are_ranked_by_loss_only_where_all_losses_are_of_one_kind():
    first = Trial(0, "complete", 0, {"train.lr": 1}, 0.5, 2.0, "1", 1.0, ((1, 0.5),), "")
    second = replace(first, number=1, draw=1, loss=1.0)
    assert ranked([first, second]) == [second, first]
    for key in ("train.loss", "train.focal_gamma"):
        several = [replace(one, values={key: one.number}) for one in (first, second)]
        assert ranked(several) == several
    weighted = [replace(one, values={"train.class_weights": "none"}) for one in (first, second)]
    assert ranked(weighted) == weighted[::-1]
