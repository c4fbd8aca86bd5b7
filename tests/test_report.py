"""The report: the figures of metrics.json in words, safe with any name, without a network."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cliptide.app.evaluation import report as report_module
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.page import Mistake, Report, write_report

EVIL = "</script><script>alert('x')</script><b>&"


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
        if tag not in {"meta", "img", "link", "br"}:
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


@pytest.fixture(autouse=True)
def small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five megabytes of script say nothing here; one test asks for them."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly */")


def made_predictions(class_names: list[str], *, num_videos: int = 60) -> list[VideoPrediction]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(num_videos):
        true = number % len(class_names)
        logits = rng.normal(size=len(class_names))
        logits[true] += 2
        scores = np.exp(logits) / np.exp(logits).sum()
        rows.append(
            VideoPrediction(
                f"v{number}.avi",
                class_names[true],
                class_names[int(scores.argmax())],
                tuple(float(score) for score in scores),
                16,
                group=f"g{number % 12}",
            )
        )
    return rows


def made_report(class_names: list[str], rows: list[VideoPrediction], **changes: Any) -> Report:
    report = Report(
        title="runs/demo-1",
        command="cliptide train videos",
        created="2026-02-03T14:05:11+00:00",
        metrics=compute_metrics(rows, class_names, split="test"),
        class_names=class_names,
        predictions=rows,
        groups_known=True,
        num_groups=41,
    )
    return dataclasses.replace(report, **changes)


def rendered(tmp_path: Path, report: Report) -> Page:
    write_report(tmp_path / "report.html", report)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


NAMES = [f"class {number}" for number in range(8)]


def test_figures_on_the_page_are_those_of_the_metrics(tmp_path: Path) -> None:
    broken = VideoPrediction("broken.avi", NAMES[0], None, (), 0, error="no video stream")
    report = made_report(NAMES, [*made_predictions(NAMES), broken])
    page, metrics = rendered(tmp_path, report), report.metrics
    assert page.json("metrics") == metrics
    for name, key in [("top1", "top1"), ("top5", "top5"), ("macro-f1", "macro_f1")]:
        assert page.by_id[name] == f"{100 * metrics[key]:.1f}%"
    assert page.by_id["balanced-accuracy"] == f"{100 * metrics['balanced_accuracy']:.1f}%"
    low, high = metrics["ci95"]
    assert page.by_id["ci95"] == f"{100 * low:.1f}% to {100 * high:.1f}%"
    assert "bootstrap over 12 groups" in page.text
    assert (
        f"always the most frequent class {100 * metrics['baselines']['majority']:.1f}%" in page.text
    )
    assert "chance 12.5%" in page.text
    assert page.by_id["num-scored"] == "60 of 61"
    assert page.by_id["num-failed"] == "1"
    assert "1 video could not be read and stands in no figure" in page.text
    assert "broken.avi no video stream" in page.text
    cells = [float(a["data-value"] or "nan") for _, a in page.tags if "data-value" in a]
    keys = ("support", "precision", "recall", "f1")
    expected = [metrics["per_class"][name][key] for name in NAMES for key in keys]
    assert cells == expected


def test_the_drawn_confusion_is_that_of_the_metrics(tmp_path: Path) -> None:
    report = made_report(NAMES, made_predictions(NAMES))
    figure = rendered(tmp_path, report).json("figures")["confusion"]
    counts = np.array(report.metrics["confusion"])
    assert figure["counts"] == counts.tolist()
    hits = np.array(figure["hits"], dtype=float)
    errors = np.array(figure["errors"], dtype=float)
    both = np.where(np.isnan(hits), np.where(np.isnan(errors), 0, errors), hits)
    assert both == pytest.approx(counts / counts.sum(axis=1, keepdims=True), abs=1e-4)
    assert np.isnan(hits[~np.eye(8, dtype=bool)]).all()
    assert np.isnan(np.diag(errors)).all()
    wrong = counts - np.diag(np.diag(counts))
    true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
    text = f"{NAMES[true]} taken for {NAMES[predicted]} {wrong.max()} of {counts[true].sum()}"
    assert text in rendered(tmp_path, report).text


def test_a_leaky_split_is_named_with_examples(tmp_path: Path) -> None:
    torn = [f"subject-{number}" for number in range(9)]
    page = rendered(tmp_path, made_report(NAMES, made_predictions(NAMES), torn_groups=torn))
    assert ("section", {"class": "alarm", "id": "leak", "role": "alert"}) in page.tags
    assert "This split is leaky" in page.by_id["leak"]
    assert "9 groups stand in both training and test data" in page.text
    assert "subject-4" in page.by_id["leak"]
    assert "and 4 more" in page.by_id["leak"]
    assert "score is too good" in page.by_id["leak"]
    assert "proven" not in page.text


def test_leakage_is_proven_absent_or_said_to_be_unknown(tmp_path: Path) -> None:
    rows = made_predictions(NAMES)
    proven = rendered(tmp_path, made_report(NAMES, rows))
    assert proven.by_id["leakage"] == (
        "No group stands in both training and test data (41 groups, proven)."
    )
    unknown = rendered(tmp_path, made_report(NAMES, rows, groups_known=False))
    assert unknown.by_id["leakage"] == ("Groups are not known, so leakage cannot be excluded.")
    assert "leak" not in proven.by_id
    assert "leak" not in unknown.by_id


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "learnt by heart"), ("val", "a little too good"), ("all", "whatever their split")],
)
def test_a_score_on_other_videos_than_the_test_split_says_so(
    tmp_path: Path, split: str, words: str
) -> None:
    rows = made_predictions(NAMES)
    metrics = compute_metrics(rows, NAMES, split=split)
    page = rendered(tmp_path, made_report(NAMES, rows, metrics=metrics))
    assert words in page.by_id["leakage"]
    assert "proven" not in page.text


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    names = [EVIL, "plain"]
    rows = [
        VideoPrediction(f"{EVIL}.avi", EVIL, "plain", (0.1, 0.9), 8, group=EVIL),
        VideoPrediction(f"{EVIL}2.avi", EVIL, None, (), 0, error=EVIL),
    ]
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    harmless = ["plain", "other"]
    calm_rows = [VideoPrediction("v.avi", "plain", "other", (0.1, 0.9), 8)]
    calm_rows += [VideoPrediction("w.avi", "plain", None, (), 0, error="x")]

    def everywhere(names: list[str], rows: list[VideoPrediction], text: str) -> Page:
        return rendered(
            tmp_path,
            made_report(
                names,
                rows,
                title=text,
                command=text,
                config_yaml=text,
                environment={text: text},
                facts={text: text},
                fingerprint=text,
                torn_groups=[text],
                quarantined=[(text, text)],
                split_table=[(text, 1, 2, 3)],
                history=[{"epoch": 0, "train_loss": 1.0, text: 2}],
                mistakes=[Mistake(rows[0], frames)],
            ),
        )

    page, calm = everywhere(names, rows, EVIL), everywhere(harmless, calm_rows, "plain")
    # The page has the very same elements as one with harmless names.
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert EVIL in page.text
    assert EVIL in page.json("metrics")["per_class"]
    # Plotly decodes entities and reads tags: its labels are escaped once more.
    assert page.json("figures")["confusion"]["names"][0].startswith("&lt;/script&gt;")


def test_the_page_asks_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rows = made_predictions(NAMES)
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    history = [{"epoch": 0, "train_loss": 1.0}]
    page = rendered(
        tmp_path, made_report(NAMES, rows, history=history, mistakes=[Mistake(rows[0], frames)])
    )
    assert "plotly.js v" in page.source
    links = [a[key] or "" for _, a in page.tags for key in ("src", "href", "srcset") if key in a]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"url\(|@import", "".join(page.styles))
    assert not [tag for tag, _ in page.tags if tag in {"link", "iframe", "object", "base"}]
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy == (
        "default-src 'none'; img-src data: blob:; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    assert len(page.source) < 10_000_000


def test_film_strips_show_the_frames_in_their_colours(tmp_path: Path) -> None:
    row = VideoPrediction("v.avi", NAMES[1], NAMES[0], (0.7, 0.2, *[0.1 / 6] * 6), 8)
    frames = np.zeros((3, 240, 320, 3), np.uint8)
    frames[:] = (200, 30, 60)
    page = rendered(tmp_path, made_report(NAMES, [row], mistakes=[Mistake(row, frames)]))
    images = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    assert len(images) == 3
    jpeg = np.frombuffer(base64.b64decode(images[0].split(",")[1]), np.uint8)
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (120, 160, 3)
    assert decoded[60, 80, ::-1] == pytest.approx((200, 30, 60), abs=6)
    assert "predicted class 0 70.0%" in page.text
    assert "true class 1 20.0%" in page.text


def test_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    rows = made_predictions(NAMES)
    wrong = Mistake(rows[0], np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"uint8 \(2, 3, 8, 8\).*Give \(N, H, W, 3\)"):
        write_report(tmp_path / "r.html", made_report(NAMES, rows, mistakes=[wrong]))


def test_all_failed_says_so_and_shows_no_figure(tmp_path: Path) -> None:
    rows = [VideoPrediction("a.avi", "x", None, (), 0, error="truncated")]
    page = rendered(tmp_path, made_report(["x", "y"], rows, num_groups=None))
    assert "No video could be scored" in page.text
    assert "a.avi truncated" in page.text
    assert "nan" not in page.text.lower()
    assert "top1" not in page.by_id


def test_a_model_evaluated_alone_has_no_training_sections(tmp_path: Path) -> None:
    page = rendered(tmp_path, made_report(NAMES, made_predictions(NAMES)))
    ids = {a.get("id") for _, a in page.tags}
    assert not {"learning", "mistakes", "num-quarantined"} & ids
    assert "left out of training" not in page.text


def test_history_is_drawn_with_gaps_where_nothing_was_measured(tmp_path: Path) -> None:
    history = [
        {"epoch": 0, "train_loss": 2.0, "val_loss": "", "train_top1": "0.5", "lr": 1e-3},
        {"epoch": 1, "train_loss": float("nan"), "val_loss": 1.5, "train_top1": "0.7", "lr": 5e-4},
    ]
    page = rendered(tmp_path, made_report(NAMES, made_predictions(NAMES), history=history))
    loss, top1 = page.json("figures")["history"]
    assert loss["x"] == [0, 1]
    assert [(curve["role"], curve["y"]) for curve in loss["curves"]] == [
        ("train", [2.0, None]),
        ("val", [None, 1.5]),
    ]
    assert [curve["y"] for curve in top1["curves"]] == [[0.5, 0.7]]
    assert "0.001" in page.text


def test_doubtful_figures_are_remarked_on(tmp_path: Path) -> None:
    def certain(number: int, true: str, predicted: str) -> VideoPrediction:
        scores = (1.0, 0.0) if predicted == "x" else (0.0, 1.0)
        return VideoPrediction(f"{number}.avi", true, predicted, scores, 8, group=f"g{number % 3}")

    guessing = [certain(i, "xy"[i % 2], "xy"[i // 2 % 2]) for i in range(20)]
    page = rendered(tmp_path, made_report(["x", "y"], guessing))
    assert "not clearly better than that" in page.text
    assert "There are only 3 groups" in page.text
    perfect = [certain(i, "x", "x") for i in range(20)]
    foreign = certain(99, "z", "x")
    page = rendered(tmp_path, made_report(["x", "y"], [*perfect, foreign]))
    assert "With 20 clips seen, up to 15% of new clips" in page.text
    assert "1 video of classes the model does not know (z): not scored." in page.text
    assert "1 of 2 classes have no scored video" in page.text


def test_one_hundred_and_one_classes_stay_small(tmp_path: Path) -> None:
    names = [f"Class{number:03d} With A Rather Long Name" for number in range(101)]
    page = rendered(tmp_path, made_report(names, made_predictions(names, num_videos=1000)))
    figure = page.json("figures")["confusion"]
    assert not figure["write_counts"]
    assert max(len(label) for label in figure["labels"]) == 22
    assert len(page.source) < 1_000_000


def test_templates_are_found_beside_the_module() -> None:
    folder = Path(report_module.__file__).parent
    assert {path.name for path in folder.glob("*.jinja")} == {
        "page.html.jinja",
        "multi.html.jinja",
        "regression.html.jinja",
        "page.css.jinja",
        "page.js.jinja",
        "plots.js.jinja",
        "sortable.js.jinja",
        "compare.html.jinja",
        "compare.js.jinja",
    }
