"""The report: the figures of a run folder in words, safe with any name, without a network."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_folders import (
    FRAMES,
    class_names_for,
    made_clips,
    made_history,
    made_rows,
    made_strip,
    write_run,
)

from cliptide.app.evaluation import report as report_module
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.charts import history_figures
from cliptide.app.evaluation.report.confusion import alike_order
from cliptide.app.evaluation.report.folder import write_page
from cliptide.app.evaluation.report.stored import ConfusedPair
from cliptide.app.evaluation.report.strips import place_of

EVIL = "</script><script>alert('x')</script><b>&"
NAMES = class_names_for(8)


class Page(HTMLParser):
    """A parsed report: text by element id, all text, all tags, scripts apart."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self.by_id: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in {"meta", "img", "link", "br", "input"}:
            self._open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1][0] if self._open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside == "style":
            self.styles.append(data)
        else:
            self.words.append(data)
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data

    def json(self, name: str) -> Any:
        return json.loads(self.by_id[name])


def page_of(folder: Path) -> Page:
    write_page(folder)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def rendered(
    tmp_path: Path,
    rows: list[VideoPrediction] | None = None,
    names: list[str] | None = None,
    **changes: Any,
) -> Page:
    names = names or NAMES
    rows = rows if rows is not None else made_rows(names, num_videos=60)
    return page_of(write_run(tmp_path / "run", rows, names, **changes))


def metrics_in(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    return found


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def plain(text: str) -> str:
    return " ".join(text.split())


def test_figures_on_the_page_are_those_of_the_metrics(tmp_path: Path) -> None:
    broken = VideoPrediction("broken.avi", NAMES[0], None, (), 0, error="no video stream")
    rows = [*made_rows(NAMES, num_videos=96), broken]
    page, metrics = rendered(tmp_path, rows), metrics_in(tmp_path)
    assert page.json("metrics") == metrics
    for name, key in [("top1", "top1"), ("top5", "top5"), ("macro-f1", "macro_f1")]:
        assert plain(page.by_id[name]) == percent(metrics[key])
    assert plain(page.by_id["balanced-accuracy"]) == percent(metrics["balanced_accuracy"])
    low, high = metrics["ci95"]
    assert plain(page.by_id["ci95"]) == f"{percent(low)} to {percent(high)}"
    assert "bootstrap over 12 groups" in page.text
    majority = percent(metrics["baselines"]["majority"])
    assert f"always the most frequent class of these videos {majority}" in page.text
    assert "chance 12.5 %" in page.text
    assert page.by_id["num-scored"] == "96 of 97"
    assert page.by_id["num-failed"] == "1"
    assert "Views a video up to 1" in page.text
    assert "1 video could not be read and stands in no figure" in page.text
    assert "broken.avi no video stream" in page.text
    assert "Over 12 groups: from " in page.text
    cells = [float(a["data-value"] or "nan") for _, a in page.tags if "data-value" in a]
    keys = ("support", "precision", "recall", "f1", "ap")
    expected = [metrics["per_class"][name][key] for name in NAMES for key in keys]
    assert cells == expected


def test_the_drawn_confusion_is_that_of_the_metrics(tmp_path: Path) -> None:
    page = rendered(tmp_path, made_rows(NAMES, num_videos=160))
    counts = np.array(metrics_in(tmp_path)["confusion"])
    figure = page.json("figures")["confusion"]
    drawn = np.zeros_like(counts)
    for row, column, count in figure["cells"]:
        drawn[row, column] = count
    assert (drawn == counts).all()
    for order in figure["orders"].values():
        assert sorted(order) == list(range(8))
    alphabet = [NAMES[place] for place in figure["orders"]["alphabet"]]
    assert alphabet == sorted(NAMES)
    wrong = counts - np.diag(np.diag(counts))
    true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
    text = f"{NAMES[true]} taken for {NAMES[predicted]} {wrong.max()} of {counts[true].sum()}"
    assert text in page.text


def test_classes_taken_for_each_other_stand_together() -> None:
    counts = np.diag([10] * 7)
    for first, second in [(0, 4), (1, 5), (4, 2)]:
        counts[first, second] = 6
    order = alike_order(counts)
    place = {number: at for at, number in enumerate(order)}
    assert sorted(order) == list(range(7))
    assert abs(place[0] - place[4]) == abs(place[1] - place[5]) == abs(place[4] - place[2]) == 1
    assert order[5:] == [3, 6]  # never confused
    assert alike_order(np.diag([3, 3])) == [0, 1]
    assert alike_order(np.zeros((3, 3), dtype=np.int64)) == [0, 1, 2]


def test_time_and_confidence_and_slices_stand_with_their_verdicts(tmp_path: Path) -> None:
    rows = made_rows(NAMES, num_videos=200)
    clips = made_clips(rows, NAMES)
    page = rendered(tmp_path, rows, clips=clips, temperature=1.6, nothing_below=0.45)
    order = plain(page.by_id["order-verdict"])
    assert re.fullmatch(r"Order is worth \+\d+ points \(\d+ to \d+\): .*", order)
    assert order in page.text.partition("Does it use time?")[0]
    for name in ("frames shuffled", "frames reversed", "one frame only", "mean over frames"):
        assert name in page.by_id["time"]
    assert plain(page.by_id["calibration-verdict"]).startswith("Over-confident: it says ")
    assert "before the temperature" in page.by_id["confidence"]
    assert "45 %" in plain(page.by_id["threshold"])
    assert "chosen on the validation videos" in page.by_id["threshold"]
    figure = page.json("figures")["confidence"]
    assert sum(one["num"] for one in figure["bins"]) == 200
    assert len(figure["coverage"]) <= 100
    assert "By length" in page.by_id["slices"]
    assert "By groups, weakest first" in page.by_id["slices"]


@pytest.mark.parametrize("task", ["multi", "regression"])
def test_other_tasks_have_their_own_page(tmp_path: Path, task: Any) -> None:
    rng = np.random.default_rng(0)
    names = ["speed", "height"]
    rows = []
    for number in range(80):
        scores = tuple(float(f"{value:.6g}") for value in rng.random(2))
        true = "|".join(f"{score + rng.normal() / 9:.6g}" for score in scores)
        said = "|".join(str(score) for score in scores)
        if task == "multi":
            said = "|".join(sorted(n for n, s in zip(names, scores, strict=True) if s >= 0.5))
            true = said if number % 5 else "speed"
        group = f"g{number % 16}"
        rows.append(VideoPrediction(f"{number}.mp4", true, said, scores, 8, group=group))
    wrong = next(row for row in rows if not row.correct)
    strip = made_strip(wrong.video, seed=0, explained=False)
    page = rendered(
        tmp_path,
        rows,
        names,
        task=task,
        clips=made_clips(rows, names, task=task),
        mistakes=(strip,),
        epochs=3,
    )
    ids = {a.get("id") for _, a in page.tags}
    assert {"summary", "time", "classes", "slices", "learning", "mistakes", "data"} <= ids
    assert ("confidence" in ids) == (task == "multi")
    assert "confusion" not in ids
    assert "nan" not in page.text.lower()
    assert len(page.json("figures").get("targets", [])) == (2 if task == "regression" else 0)


def test_a_leaky_split_is_named_with_examples(tmp_path: Path) -> None:
    torn = tuple(f"subject-{number}" for number in range(9))
    page = rendered(tmp_path, torn_groups=torn, copies=(("train/a.avi", "test/b.avi"),))
    assert ("section", {"class": "alarm", "id": "leak", "role": "alert"}) in page.tags
    assert "This split is leaky" in page.by_id["leak"]
    assert "9 groups stand in both training and test data" in page.text
    assert "subject-4" in page.by_id["leak"]
    assert "and 4 more" in page.by_id["leak"]
    assert (
        "1 test video is byte-identical to one of training or validation: test/b.avi is train/a.avi"
        in plain(page.by_id["leak"])
    )
    assert "score is too good" in page.by_id["leak"]
    assert "Leakage found (9 torn groups and 1 video byte-identical" in page.text
    assert "proven" not in page.text


def test_leakage_is_proven_absent_or_said_to_be_unknown(tmp_path: Path) -> None:
    proven = rendered(tmp_path)
    assert proven.by_id["leakage"] == (
        "No group stands in both training and test data (41 groups, proven)."
    )
    unknown = rendered(tmp_path, groups_known=False)
    assert unknown.by_id["leakage"] == "Groups are not known, so leakage cannot be excluded."
    assert "leak" not in proven.by_id
    assert "leak" not in unknown.by_id


def test_a_split_without_known_groups_is_not_said_to_keep_them(tmp_path: Path) -> None:
    split = {"split_origin": "made", "split_sizes": (20, 10, 11)}
    whole = rendered(tmp_path, **split)
    assert "a split made by cliptide, groups kept whole" in whole.text
    rows = [replace(row, group=row.video) for row in made_rows(NAMES, num_videos=60)]
    alone = rendered(tmp_path, rows, groups_known=False, **split)
    assert "a split made by cliptide, by clip" in alone.text
    assert re.search(r"Groups among the scored videos\s*not known", alone.text)
    assert "Over 60 groups" not in alone.text


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "learnt by heart"), ("val", "a little too good"), ("all", "whatever their split")],
)
def test_a_score_on_other_videos_than_the_test_split_says_so(
    tmp_path: Path, split: str, words: str
) -> None:
    page = rendered(tmp_path, split=split)
    assert words in page.by_id["leakage"]
    assert "proven" not in page.text


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    def everywhere(text: str, names: list[str]) -> Page:
        rows = [
            VideoPrediction(f"{text}.avi", names[0], names[1], (0.1, 0.9), 8, group=text),
            VideoPrediction(f"{text}1.avi", names[1], names[1], (0.1, 0.9), 8, group=text),
            VideoPrediction(f"{text}2.avi", names[0], None, (), 0, error=text),
        ]
        strips = tuple(made_strip(row.video, seed=0) for row in rows[:2])
        return rendered(
            tmp_path,
            rows,
            names,
            config_yaml=text,
            quarantined=[(text, "train", text)],
            epochs=1,
            title=text,
            command=text,
            environment={text: text},
            facts={text: text},
            fingerprint=text,
            torn_groups=(text,),
            copies=((text, text),),
            split_table=((text, 1, 2, 3),),
            mistakes=strips[:1],
            confused=(ConfusedPair(names[0], names[1], strips),),
        )

    page, calm = everywhere(EVIL, [EVIL, "plain"]), everywhere("calm", ["calm", "plain"])
    # The page has the very same elements as one with harmless names.
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert EVIL in page.text
    assert EVIL in page.json("metrics")["per_class"]
    assert page.json("figures")["confusion"]["names"] == [EVIL, "plain"]


def test_the_page_asks_no_network(tmp_path: Path) -> None:
    page = rendered(tmp_path, strips=True, epochs=2)
    links = [a[key] or "" for _, a in page.tags for key in ("src", "href", "srcset") if key in a]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"url\(|@import", "".join(page.styles))
    assert not [tag for tag, _ in page.tags if tag in {"iframe", "object", "base"}]
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy == (
        "default-src 'none'; img-src data: blob:; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    assert len(page.source) < 2_000_000


def test_film_strips_show_frames_answers_and_what_drove_them(tmp_path: Path) -> None:
    row = VideoPrediction("v.avi", NAMES[1], NAMES[0], (0.7, 0.2, *[0.1 / 6] * 6), 8)
    strip = made_strip("v.avi", seed=3)
    assert strip.explanation is not None
    page = rendered(tmp_path, [row], mistakes=(strip,))
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    assert images == [strip.frames, strip.explanation.cam]
    assert "predicted open 70.0 %" in page.text
    assert "true close 20.0 %" in page.text
    (film,) = [a for tag, a in page.tags if tag == "article"]
    assert film["data-count"] == str(FRAMES)
    explained = json.loads(film["data-explained"] or "")
    assert explained["occlusion"] == pytest.approx(strip.explanation.occlusion, abs=1e-4)
    lines = [(a["points"] or "").split() for tag, a in page.tags if tag == "polyline"]
    assert [len(points) for points in lines] == [16, 16]


def test_a_time_lies_under_its_frame_whatever_the_gaps_between_frames() -> None:
    times = [0.0, 1.0, 4.0, 4.0]
    middles = [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    assert [place_of(time, times) for time in (0.0, 1.0, 4.0)] == pytest.approx(middles[:3])
    assert place_of(2.5, times) == pytest.approx(0.5)
    assert place_of(-1.0, times) == middles[0]
    assert place_of(9.0, times) == middles[3]
    assert place_of(5.0, [2.0]) == 0.5


def test_all_failed_says_so_and_shows_no_figure(tmp_path: Path) -> None:
    rows = [VideoPrediction("a.avi", "x", None, (), 0, error="truncated")]
    page = rendered(tmp_path, rows, ["x", "y"], num_groups=None)
    assert "No video could be scored" in page.text
    assert "a.avi truncated" in page.text
    assert not re.search(r"\bnan\b", page.text.lower())
    assert "top1" not in page.by_id
    assert "time" not in page.by_id


def test_a_model_evaluated_alone_has_no_training_sections(tmp_path: Path) -> None:
    page = rendered(tmp_path)
    ids = {a.get("id") for _, a in page.tags}
    assert not {"learning", "mistakes", "num-quarantined"} & ids
    assert "left out of training" not in page.text


def test_files_left_out_of_training_are_listed_but_not_those_of_the_test(tmp_path: Path) -> None:
    lost = [("x.avi", "train", "truncated"), ("t.avi", "test", "stands in predictions")]
    page = rendered(tmp_path, quarantined=lost)
    assert page.by_id["num-quarantined"] == "1"
    assert "x.avi truncated" in page.text
    assert "t.avi" not in page.text


def test_history_is_drawn_with_gaps_where_nothing_was_measured() -> None:
    history = [
        {"epoch": "1", "train_loss": "2.0", "val_loss": "", "train_top1": "0.5", "lr": "1e-3"},
        {"epoch": "2", "train_loss": "nan", "val_loss": "1.5", "train_top1": "0.7", "lr": "5e-5"},
        {"epoch": "3", "train_loss": "1.0", "val_loss": "1.4", "train_top1": "0.8", "lr": "1e-5"},
    ]
    loss, top1, rate = history_figures(history)
    assert loss["x"] == [1, 2, 3]
    assert [(curve["role"], curve["y"]) for curve in loss["curves"]] == [
        ("train", [2.0, None, 1.0]),
        ("val", [None, 1.5, 1.4]),
    ]
    assert [curve["y"] for curve in top1["curves"]] == [[0.5, 0.7, 0.8]]
    assert (rate["id"], rate["kind"]) == ("lr", "log")
    names = [figure["id"] for figure in history_figures(made_history(4))]
    assert names == ["loss", "top1", "lr", "grad", "wait"]


def test_doubtful_figures_are_remarked_on(tmp_path: Path) -> None:
    def certain(number: int, true: str, predicted: str) -> VideoPrediction:
        scores = (1.0, 0.0) if predicted == "x" else (0.0, 1.0)
        return VideoPrediction(f"{number}.avi", true, predicted, scores, 8, group=f"g{number % 3}")

    guessing = [certain(i, "xy"[i % 2], "xy"[i // 2 % 2]) for i in range(20)]
    page = rendered(tmp_path, guessing, ["x", "y"])
    assert "not clearly better than that" in page.text
    assert "There are only 3 groups, so the interval was drawn over clips." in page.text
    assert "too narrow. Over 3 groups: from " in page.text
    perfect = [certain(i, "x", "x") for i in range(20)]
    foreign = certain(99, "z", "x")
    page = rendered(tmp_path, [*perfect, foreign], ["x", "y"])
    assert "With 20 clips seen, up to 15 % of new clips" in page.text
    assert "1 video of classes the model does not know (z): not scored." in page.text
    assert "1 of 2 classes has no scored video: nothing is known about it (y)." in page.text


def test_one_hundred_and_one_classes_stay_small(tmp_path: Path) -> None:
    names = class_names_for(101)
    page = rendered(tmp_path, made_rows(names, num_videos=1000), names)
    assert len(page.json("figures")["confusion"]["most"]) == 24
    assert "Find a class" in page.source
    assert len(page.source) < 1_000_000


def test_templates_are_found_beside_the_module_and_stay_short() -> None:
    templates = list(Path(report_module.__file__).parent.glob("*.jinja"))
    assert {"page.html.jinja", "page.css.jinja", "plot.js.jinja"} <= {p.name for p in templates}
    long = {p.name: n for p in templates if (n := len(p.read_text("utf-8").splitlines())) > 200}
    assert not long
