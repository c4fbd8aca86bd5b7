"""`cliptide compare` as a person meets it: folders in, a table, a page and a CSV file out."""

import csv
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compare_runs import (
    made_run,
    multi_rows,
    regression_rows,
    single_rows,
    write_run,
)
from test_cli import is_user_error
from test_report import EVIL, Page

from cliptide.app import compare
from cliptide.app.evaluation.compare import compare_runs
from cliptide.app.evaluation.compare_folders import short_names
from cliptide.app.evaluation.report.compare_page import nice_ticks, write_page


@pytest.fixture
def two_folders(tmp_path):
    """A weak and a strong run of 90 videos in `runs`."""
    rng = np.random.default_rng(0)
    weak, strong = rng.random(90) < 0.4, rng.random(90) < 0.9
    return (
        write_run(tmp_path / "runs" / "mean-pool", single_rows(weak)),
        write_run(tmp_path / "runs" / "gru", single_rows(strong, seed=1)),
    )


def test_the_command_prints_a_table_and_a_verdict_and_writes_page_and_csv(two_folders, tmp_path):
    command = [sys.executable, "-m", "cliptide.app", "compare", "runs/mean-pool", "runs/gru"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Results on the 90 videos that all runs scored" in run.stdout
    assert "gru is better than mean-pool by +" in run.stdout
    assert f"page:        {Path('runs/compare-1/compare.html')}" in run.stdout
    assert "Warning" not in run.stderr
    out = tmp_path / "runs" / "compare-1"
    assert sorted(path.name for path in out.iterdir()) == ["compare.html", "differences.csv"]
    found = compare(two_folders, out=tmp_path / "again").comparison
    with (out / "differences.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["video"] for line in lines] == [video.video for video in found.videos]
    for line, video in zip(lines, found.videos, strict=True):
        assert line["true"] == video.true
        for name, answer in zip(("mean-pool", "gru"), video.answers, strict=True):
            assert line[f"{name}: predicted"] == answer.predicted
            assert float(line[f"{name}: score"]) == pytest.approx(answer.score, rel=1e-5)
            assert line[f"{name}: right"] == ("yes" if answer.right else "no")


def test_comparing_needs_no_torch(two_folders, tmp_path):
    code = (
        "import sys; from cliptide.app.cli import main\n"
        "assert main(sys.argv[1:]) == 0\nassert 'torch' not in sys.modules"
    )
    words = ["compare", *map(str, two_folders), "--out", str(tmp_path / "out")]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_wrong_run_is_one_line_with_the_mend(cliptide, two_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good, other = two_folders

    def refused(*words):
        before = sorted(tmp_path.rglob("*"))
        result = cliptide("compare", *words)
        assert sorted(tmp_path.rglob("*")) == before
        return result

    assert is_user_error(refused(), "Missing: RUN", "cliptide compare --help")
    assert is_user_error(refused(good), f"Only 1 RUN was given: {good}", "RUN RUN")
    assert is_user_error(refused(good, good), f"{good} was given twice", "Name each folder once")
    link = Path("runs/gru/../mean-pool")
    assert is_user_error(refused(good, link), "are one RUN")
    metrics = other / "metrics.json"
    assert is_user_error(refused(good, metrics), f"{metrics} is a file", f"the run: {other}")
    assert is_user_error(refused(good, "runs/grru"), "no folder runs/grru", "Nearest: runs/gru.")
    lacks = "lacks metrics.json and predictions.csv"
    assert is_user_error(refused(good, "runs"), lacks, f"such as {Path('runs/gru')}")
    assert is_user_error(refused(good, other, "--seed", -1), "seed is -1")
    out = tmp_path / "runs"
    assert is_user_error(refused(good, other, "--out", out), "is not empty", "--overwrite")


def damage(name, change):
    def apply(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return apply


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda folder: (folder / "predictions.csv").unlink(), ["it lacks predictions.csv"]),
        (damage("predictions.csv", lambda text: text[:-9]), ["record 91 has", "Evaluate again"]),
        (damage("predictions.csv", lambda text: b"PK\x03\x04"), ["A predictions.csv has"]),
        (
            damage("predictions.csv", lambda text: text.splitlines()[0]),
            ["is damaged: it holds no video"],
        ),
        (
            damage("predictions.csv", lambda text: re.sub(rb"0\.\d+,16", b"nan,16", text)),
            ["(v0.avi) has 'nan'", "no probability from 0 to 1"],
        ),
        (damage("metrics.json", lambda text: text[:50]), ["metrics.json is damaged"]),
        (damage("metrics.json", lambda text: b"[1]"), ["its task is none of single, multi"]),
    ],
)
def test_a_damaged_run_is_named(cliptide, two_folders, change, parts):
    change(two_folders[1])
    result = cliptide("compare", *two_folders)
    assert is_user_error(result, str(two_folders[1]), *parts)


@pytest.mark.parametrize(
    ("place", "text", "part"),
    [
        (1, "x", "could not convert"),
        (1, "1|2", "has '1|2' for 1 targets"),
        (2, "1|2", "predicts '1|2'"),
    ],
)
def test_damaged_numbers_are_named(cliptide, tmp_path, place, text, part):
    kind = {"task": "regression", "names": ("target",)}
    rows = regression_rows(20, noise=1, seed=0)
    folders = [write_run(tmp_path / name, rows, **kind) for name in "ab"]
    table = folders[1] / "predictions.csv"
    lines = table.read_text().splitlines()
    cells = lines[2].split(",")
    lines[2] = ",".join([*cells[:place], text, *cells[place + 1 :]])
    table.write_text("\n".join(lines))
    assert is_user_error(cliptide("compare", *folders), f"{table}: record 3 (v1.avi)", part)


def test_folds_and_their_pooled_folder_are_runs_too(cliptide, two_folders, tmp_path):
    pooled = write_run(
        tmp_path / "cv", single_rows([True] * 90), torn_groups=1, folds={
            "split_fingerprints": ["f1", "f2"]
        },
    )  # fmt: skip
    result = cliptide("compare", two_folders[0], pooled, "--out", tmp_path / "out")
    assert result.code == 0
    assert "fingerprints: mean-pool abc, cv 2 folds from f1" in result.err
    assert "The split of cv is leaky" in result.err


def test_overwriting_takes_the_two_files_and_no_others(cliptide, two_folders, tmp_path):
    out = tmp_path / "out"
    assert cliptide("compare", *two_folders, "--out", out).code == 0
    (out / "notes.txt").write_text("mine")
    assert cliptide("compare", *two_folders, "--out", out, "--overwrite").code == 0
    assert (out / "notes.txt").read_text() == "mine"
    # Beside an evaluation it is content with a place of its own.
    before = {path: path.read_bytes() for path in two_folders[0].iterdir()}
    assert cliptide("compare", *two_folders, "--out", two_folders[0], "--overwrite").code == 0
    assert all(path.read_bytes() == text for path, text in before.items())
    (two_folders[1] / "model.safetensors").write_text("a model")
    result = cliptide("compare", *two_folders, "--out", two_folders[1], "--overwrite")
    assert is_user_error(result, "holds a training run, which a comparison does not replace")
    assert not (two_folders[1] / "compare.html").exists()


def test_runs_are_called_by_as_little_as_tells_them_apart():
    folders = [Path(text) for text in ("/x/runs/gru", "/x/old/gru", "/x/runs/mean", "/x/a/mean2")]
    assert short_names(folders) == ["runs/gru", "old/gru", "mean", "mean2"]
    assert short_names([Path("/a"), Path("/x/a")]) == ["//a", "x/a"]


def pages(tmp_path, runs):
    write_page(tmp_path / "c.html", compare_runs(runs), folders=[run.folder for run in runs])
    return Page((tmp_path / "c.html").read_text(encoding="utf-8"))


def runs_of(task):
    if task == "single":
        rows = [single_rows(np.random.default_rng(s).random(60) < 0.6, seed=s) for s in (0, 1)]
        return [made_run(f"r{place}", one) for place, one in enumerate(rows)]
    if task == "multi":
        rows = [multi_rows(60, skill=0.4, seed=seed) for seed in (0, 1)]
        return [made_run(f"r{place}", one, task=task) for place, one in enumerate(rows)]
    rows = [regression_rows(60, noise=0.4, seed=seed) for seed in (0, 1)]
    names = ("target",)
    return [made_run(f"r{n}", one, task=task, names=names) for n, one in enumerate(rows)]


@pytest.mark.parametrize("task", ["single", "multi", "regression"])
def test_the_page_says_what_was_found_and_asks_no_network(tmp_path, task):
    runs = runs_of(task)
    found = compare_runs(runs)
    page = pages(tmp_path, runs)
    words = found.differences[0].words
    assert words[1:] in page.text
    assert f"{len(found.videos)} of {len(found.videos)}" in page.by_id["shown"]
    rows = [
        attributes for tag, attributes in page.tags if tag == "tr" and "data-best" in attributes
    ]
    assert len(rows) == len(found.videos)
    for row, video in zip(rows, found.videos, strict=True):
        best = [
            str(place)
            for place, answer in enumerate(video.answers)
            if answer.right or (answer.error == min(a.error or 0 for a in video.answers))
        ]
        assert row["data-best"].split() == best
    links = [a[key] or "" for _, a in page.tags for key in ("src", "href", "srcset") if key in a]
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|https?:", page.source)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "nan" not in page.text.lower().split()


def test_every_column_of_the_videos_sorts_and_numbers_sort_as_numbers(tmp_path):
    page = pages(tmp_path, runs_of("single"))
    tables = [a["class"] for tag, a in page.tags if tag == "table"]
    assert [name for name in tables if "sortable" in name] == [
        "sortable classes",
        "sortable videos",
    ]
    sortable = [a for tag, a in page.tags if tag == "th" and "aria-sort" in a]
    buttons = [a for tag, a in page.tags if tag == "button"]
    assert len(buttons) == len(sortable) == (2 + 2 + 1) + (3 + 4)
    assert 'header.classList.contains("number")' in "".join(page.scripts)


def test_names_are_text_and_never_markup_on_the_page(tmp_path):
    def page(names, run, group):
        rows = single_rows([True, False] * 5, names=names)
        other = single_rows([False, True] * 5, names=names, seed=1)
        rows, other = (
            [replace(r, group=group, video=r.video + group) for r in x] for x in (rows, other)
        )
        runs = [made_run("a", rows, names=names), made_run(run, other, names=names, num_torn=1)]
        return pages(tmp_path, runs)

    evil, calm = page((EVIL, "plain"), EVIL, EVIL), page(("other", "plain"), "b", "g")
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in calm.tags]
    assert EVIL in evil.text


def test_names_that_are_no_utf8_are_written(two_folders, tmp_path):
    rows = [replace(row, video=row.video + "\udcff") for row in single_rows([True, False] * 6)]
    others = [replace(row, video=row.video + "\udcff") for row in single_rows([False, True] * 6)]
    folders = [write_run(tmp_path / n, r) for n, r in (("a", rows), ("b", others))]
    found = compare(folders, out=tmp_path / "out")
    assert b"v0.avi\xff" in found.table.read_bytes()
    found.page.read_text(encoding="utf-8")


def test_without_a_difference_there_is_no_table(tmp_path):
    rows = single_rows([True, False] * 6)
    page = pages(tmp_path, [made_run("a", rows), made_run("b", rows)])
    assert "None: every run is right and wrong on the very same videos." in page.text
    assert "filter" not in page.by_id


@pytest.mark.parametrize(
    ("low", "high", "share", "ticks"),
    [
        (0.31, 0.87, True, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.9, 1.0, True, [0.85, 0.9, 0.95, 1.0]),
        (1.0, 1.0, True, [0.96, 0.97, 0.98, 0.99, 1.0]),
        (0.0, 0.0, False, [-0.04, -0.02, 0.0, 0.02, 0.04]),
        (-0.6, 0.02, False, [-0.8, -0.6, -0.4, -0.2, 0.0, 0.2]),
        (120.0, 480.0, False, [100.0, 200.0, 300.0, 400.0, 500.0]),
    ],
)
def test_scales_have_round_ticks_around_all_values(low, high, share, ticks):
    assert nice_ticks(low, high, share=share) == pytest.approx(ticks)


def test_copies_and_edited_predictions_are_warned_of(cliptide, two_folders, tmp_path):
    metrics = two_folders[1] / "metrics.json"
    known = json.loads(metrics.read_text("utf-8"))
    sha256 = hashlib.sha256((two_folders[1] / "predictions.csv").read_bytes()).hexdigest()
    metrics.write_text(json.dumps(known | {"copies": 3, "predictions_sha256": sha256}))
    result = cliptide("compare", *two_folders, "--out", tmp_path / "out")
    assert "3 test videos are copies of what gru was trained" in " ".join(result.err.split())
    assert "was changed" not in result.err
    metrics.write_text(json.dumps(known | {"predictions_sha256": "0" * 64}))
    result = cliptide("compare", *two_folders, "--out", tmp_path / "again")
    assert "predictions.csv of gru was changed" in " ".join(result.err.split())
