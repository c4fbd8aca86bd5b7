"""A real task without a download: which library is a docstring from?

    python benchmarks/texts_at_hand.py texts.csv

Writes text,label,group from the source files of installed libraries, parsed and not imported: the
prose that a function's or class's docstring begins with. The libraries' names are masked, and so
are doctests and parameters left out. A group is a source file, as the docstrings of one repeat
each other; a text that two libraries share is left out. Also says what a bag of words gets
(TF-IDF and logistic regression) on groups of its own: the figure to compare a sequence model with.
"""

import argparse
import ast
import csv
import hashlib
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

LIBRARIES = ("networkx", "numpy", "scipy", "sklearn", "sympy", "torch")
LEAST_WORDS, MOST_WORDS = 8, 60
# Sections, fields, doctests and directives: what follows is no prose.
NO_PROSE = re.compile(r"^\s*(>>>|\.\. |:\w|[-=~]{3,}|\w[\w ]*:\s*$)|^\s*$")
NAMES = re.compile(
    r"\b(networkx|nx|numpy|np|scipy|scikit-learn|sklearn|sympy|py?torch|torch|aten)\b", re.I
)


def docstrings(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def prose(docstring: str) -> str:
    """The first two paragraphs, as far as they are prose; "" where that is not enough."""
    words: list[str] = []
    paragraphs = 0
    for line in docstring.splitlines():
        if not line.strip():
            paragraphs += 1
        if paragraphs == 2 or (line.strip() and NO_PROSE.match(line)):
            break
        words += line.split()
    # The heading of a section stands above its rule.
    if words and words[-1] in ("Parameters", "Returns", "Examples", "Notes", "Attributes"):
        words.pop()
    text = NAMES.sub("the library", " ".join(words[:MOST_WORDS]))
    return text if len(text.split()) >= LEAST_WORDS else ""


def texts_of(library: str) -> dict[str, str]:
    """Text -> the source file, relative to the library."""
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            f"{library} is not installed here. Install it, or take it out of the list."
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        if "tests" in path.parts or "testing" in path.parts:
            continue
        for docstring in docstrings(path.read_text("utf-8", errors="ignore")):
            text = prose(docstring)
            if text:
                found.setdefault(text, f"{library}/{path.relative_to(folder).as_posix()}")
    return found


def rows(most: int) -> list[tuple[str, str, str]]:
    """(text, library, group), as many of each library at most."""
    by_library = {library: texts_of(library) for library in LIBRARIES}
    holders = defaultdict(set)
    for library, texts in by_library.items():
        for text in texts:
            holders[text].add(library)
    chosen = []
    for library, texts in by_library.items():
        own = [text for text in texts if len(holders[text]) == 1]
        # A draw that stays the same when other texts are added.
        own.sort(key=lambda text: hashlib.sha256(text.encode()).digest())
        chosen += [(text, library, texts[text]) for text in own[:most]]
    return chosen


def linear_model() -> Pipeline:
    return make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )


def bag_of_words(chosen: list[tuple[str, str, str]]) -> tuple[list[float], float]:
    """Accuracy of each of five folds with groups kept whole, and the share of the largest class."""
    texts, labels, groups = zip(*chosen, strict=True)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(linear_model(), texts, labels, groups=groups, cv=folds)
    return scores.tolist(), max(map(labels.count, set(labels))) / len(labels)


def bag_of_words_in(run: Path, chosen: list[tuple[str, str, str]]) -> float:
    """Accuracy on the test texts of a run, learnt on all texts of other groups."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        tested = {row["group"] for row in csv.DictReader(file)}
    test = [row for row in chosen if row[2] in tested]
    rest = [row for row in chosen if row[2] not in tested]
    model = linear_model().fit([row[0] for row in rest], [row[1] for row in rest])
    return float(model.score([row[0] for row in test], [row[1] for row in test]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--most", type=int, default=600, help="texts of a library (%(default)s)")
    parser.add_argument("--run", type=Path, help="also on the test texts of this run of theirs")
    options = parser.parse_args()
    chosen = rows(options.most)
    with options.csv.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label", "group"))
        table.writerows(chosen)
    scores, largest = bag_of_words(chosen)
    print(f"{len(chosen)} texts in {len({group for *_, group in chosen})} groups: {options.csv}")
    print(f"largest class       {largest:.3f}")
    mean = sum(scores) / len(scores)
    print(f"bag of words        {mean:.3f}  ({min(scores):.3f} to {max(scores):.3f} over 5 folds)")
    if options.run:
        print(f"on the run's test   {bag_of_words_in(options.run, chosen):.3f}")


if __name__ == "__main__":
    main()
