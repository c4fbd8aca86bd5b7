"""What users of other kinds than videos read, and tables of texts among what a model is given."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_kinds import Trained
from test_report import Page


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("words"))


def words_of_videos(*told: str) -> list[str]:
    """What only a user of videos should read; flags and names of files are no words."""
    text = re.sub(r"--\S+|clips\.csv", "", " ".join(told))
    return re.findall(r".{0,40}\b(?:video|clip)s?\b.{0,20}", text, flags=re.IGNORECASE)


def page_words(path: Path) -> str:
    """What a page shows or reads aloud; its code and the commands on it are no words."""
    page = Page(re.sub(r"(?s)<pre.*?</pre>", "", path.read_text(encoding="utf-8")))
    names = ("aria-label", "placeholder", "title", "alt")
    return " ".join(
        [page.text, *(str(tag.get(name, "")) for _, tag in page.tags for name in names)]
    )


@pytest.mark.parametrize("name", ["text", "audio", "sensors", "rows"])
def test_who_has_no_videos_is_told_of_none(
    name: str,
    trained: Trained,
    cliptide: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in a run of hours, where all that goes on is told in lines.
    monkeypatch.setattr("cliptide.app.inference.terminal.LINE_EVERY_S", 0.0)
    monkeypatch.setattr("cliptide.app.training.progress.LINE_EVERY_S", 0.0)
    data, run, evaluated, compared = trained.data(name), *(tmp_path / part for part in "rec")
    less = ["--train.epochs", "1", "--data.bucket", "true", "--model.hidden", "4"]
    device = ["--device", "cpu"]
    told = [
        cliptide("train", data, "--out", run, *trained.flags(name), *less),
        cliptide("check", data, "--csv", tmp_path / "check.csv", "--workers", "1"),
        cliptide("evaluate", trained.model(name), data, "--split", "all", "--out", evaluated),
        cliptide("compare", trained.run(name), run, "--out", compared),
        cliptide("predict", trained.model(name), data, "--data.workers", "1", *device),
    ]
    assert [one.code for one in told] == [0] * len(told), told
    pages = [run / "report.html", evaluated / "report.html", compared / "compare.html"]
    said = " ".join(one.out + one.err for one in told)
    assert not words_of_videos(said, *map(page_words, pages))
    plural = {"text": "texts", "audio": "sounds", "sensors": "sequences", "rows": "images"}[name]
    assert f" {plural}/s" in told[0].err
    assert f" {plural} that all runs scored" in told[3].out


def test_files_of_the_timelines_of_sounds_are_refused_in_words_of_sounds(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    subtitles, sound = tmp_path / "one.srt", trained.sample("audio")
    subtitles.touch()
    words = ["--timeline", "--srt", subtitles, "--overwrite", "--device", "cpu"]
    several = cliptide("predict", trained.model("audio"), trained.data("audio"), *words)
    assert several.code == 2
    assert re.search(r"there are 18 sounds\. Give a folder: each sound gets a file", several.err)
    same = cliptide(
        "predict", trained.model("audio"), sound, "--timeline", "--csv", sound, "--overwrite"
    )
    assert same.code == 2
    assert "is a sound that is to be read" in same.err


def test_tables_of_other_things_cost_no_text(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    texts, ids, note = (folder / name for name in ("a.csv", "b.csv", "c.txt"))
    texts.write_text("text\none two three\nfour five six\n")
    ids.write_text("id,label\n1,walk\n")
    note.write_text("seven eight nine")
    words = ["--json", "-", "--device", "cpu"]
    read = [f"{texts}:2", f"{texts}:3", str(note)]
    for more in ([], ["--overwrite"]):  # the second finds what the first has written
        csv_to = ["--csv", folder / "predictions.csv", *more]
        found = cliptide("predict", trained.model("text"), folder, *words, *csv_to)
        assert found.code == 0, found.err
        assert [row["video"] for row in json.loads(found.out)] == read
    globbed = cliptide("predict", trained.model("text"), folder / "*", *words)
    assert [row["video"] for row in json.loads(globbed.out)] == read
    named = cliptide("predict", trained.model("text"), texts, ids, note, *words)
    rows = json.loads(named.out)
    assert named.code == 1
    assert [row["video"] for row in rows] == [*read[:2], str(ids), str(note)]
    assert "text" in rows[2]["error"]
    assert all("label" in row for row in (*rows[:2], rows[3]))
    assert "1 of 4 texts could not be read" in named.err


def test_a_model_of_other_samples_is_refused_in_words_of_both(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    model, images = trained.model("audio"), trained.data("rows")
    words = ["--config", "image-rows", "--init", model, "--out", tmp_path / "run"]
    refused = cliptide("train", images, *words, "--device", "cpu")
    assert refused.code == 2
    assert f"{model} reads audio of sounds, but {images} holds images, to be read as rows" in (
        refused.err
    )
    assert "Start without --init, or give sounds." in refused.err
    assert "data.streams" not in refused.err


def test_classes_that_a_model_of_sounds_does_not_know_are_told_in_words_of_sounds(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for label in ("aaa", "bbb", "ccc"):
        (data / label).mkdir(parents=True)
        for number in range(4):
            (data / label / f"{number}.wav").touch()
    words = ["--split", "all", "--out", tmp_path / "out", "--device", "cpu"]
    refused = cliptide("evaluate", trained.model("audio"), data, *words)
    assert refused.code == 2
    assert "does not know: 'aaa', 'bbb', 'ccc'. It knows: " in refused.err
    assert "Here is no sound of: " in refused.err
    assert "list the other sounds in a CSV" in refused.err
