"""The report of a large evaluation: how long it takes to make, how large it is, how fast it opens.

    python benchmarks/report.py [--classes 101] [--videos 3783]

Wanted: made within 60 s, under 10 MB, opened with all charts drawn within 2 s, nothing in the
console, no request. The run folder is made up (tests/report_folders.py), so no model is needed;
the figures in it are computed as after an evaluation. Chromium opens the page in a fresh profile.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# What makes folders and opens browsers serves the tests too, and lies with them.
sys.path.append(str(ROOT / "tests"))

from browser import Browser, find_browser  # noqa: E402
from report_folders import class_names_for, made_clips, made_rows, write_run  # noqa: E402

from cliptide.app.evaluation.report.folder import write_page  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "report.json"


def make_page(folder: Path, *, num_classes: int, num_videos: int) -> dict[str, Any]:
    """Write a run folder and its page; the seconds of each and the size."""
    names = class_names_for(num_classes)
    rows = made_rows(names, num_videos=num_videos)
    clips = made_clips(rows, names)
    began = time.perf_counter()
    write_run(
        folder, rows, names, clips=clips, strips=True, epochs=60, temperature=1.6, nothing_below=0.4
    )
    computed_s = time.perf_counter() - began
    began = time.perf_counter()
    write_page(folder)
    return {
        "files_s": round(computed_s, 2),
        "page_s": round(time.perf_counter() - began, 2),
        "megabytes": round((folder / "report.html").stat().st_size / 1e6, 2),
    }


def open_page(program: str, path: Path, *, phone: bool) -> dict[str, Any]:
    """Open the page once in a fresh browser: milliseconds from the start of its loading."""
    with Browser(program) as browser:
        browser.resize(*((390, 844) if phone else (1280, 900)), phone=phone)
        browser.open(path)
        drawn = int(browser.wait_for("document.documentElement.dataset.drawn"))
        loaded = browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd")
        return {
            "load_ms": round(loaded),
            "drawn_ms": drawn,
            "console": browser.errors,
            "requests": browser.requests,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--videos", type=int, default=3783)
    parser.add_argument("--opens", type=int, default=5, help="How often it is opened.")
    args = parser.parse_args()
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "classes": args.classes,
        "videos": args.videos,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        found |= make_page(folder, num_classes=args.classes, num_videos=args.videos)
        program = find_browser()
        if program is None:
            print("No Chromium is installed: the page was made, but not opened.", file=sys.stderr)
        else:
            for name, phone in (("desktop", False), ("phone", True)):
                opened = [
                    open_page(program, folder / "report.html", phone=phone)
                    for _ in range(args.opens)
                ]
                found[name] = {
                    "load_ms": statistics.median(one["load_ms"] for one in opened),
                    "drawn_ms": statistics.median(one["drawn_ms"] for one in opened),
                    "slowest_drawn_ms": max(one["drawn_ms"] for one in opened),
                    "console": sorted({text for one in opened for text in one["console"]}),
                    "requests": sorted({text for one in opened for text in one["requests"]}),
                }
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    results[f"{args.classes} classes, {args.videos} videos"] = found
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
