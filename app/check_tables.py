"""What `cliptide check` prints: the split, the figures, and each thing found with its mend."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import format_seconds, result_console
from cliptide.configs.streams import StreamName
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import Samples
from cliptide.datasets.catalog.wording import counted, some
from cliptide.datasets.checking.check import CheckedClip, CheckResult
from cliptide.datasets.labels import classes_of
from cliptide.datasets.records import SPLITS, SampleRecord
from cliptide.datasets.splits import split_counts, split_sizes
from cliptide.datasets.strata import target_ranges
from cliptide.datasets.streams.sound_file import NO_TRACK
from cliptide.datasets.video.examine import Examination

MOST_ROWS = 10
PIPE_COLUMNS = 10_000
# From here on a class of few clips is drowned by one of many.
UNEVEN_CLASSES = 5

BAD, WARNING = "bold red", "bold yellow"


def show_check(
    result: CheckResult,
    *,
    title: str,
    class_names: Sequence[str],
    no_split: str,
    task: Task,
    samples: Samples,
    streams: Sequence[StreamName] = (),
    nouns: Nouns,
    seconds: float,
    csv_to: Path,
) -> None:
    """Print what was found, the worst of each kind; the CSV has all.

    Args:
        result: What was found.
        title: What was checked, in a line.
        class_names: The classes, labels or targets, in order.
        no_split: Why there is no split; empty where there is one.
        task: What the labels mean.
        samples: How what was checked lies on disk.
        streams: What each sample should have; none where that is left to the data.
        nouns: What it is called.
        seconds: How long reading took.
        csv_to: Where the CSV is.
    """
    console = result_console()
    if not console.is_terminal:  # into a pipe nothing is wrapped
        console.width = PIPE_COLUMNS
    console.print(title, style="bold", soft_wrap=True)
    if task == "regression":
        _show_targets(console, result, class_names, nouns)
    elif class_names:
        _show_classes(console, result, class_names, task, nouns)
    _show_figures(console, result, samples, seconds)
    if no_split:
        console.print("No split can be made", style=WARNING)
        _print_indented(console, no_split)
    _show_findings(console, result, samples, nouns)
    _show_lacking(console, result, streams, nouns)
    if result.is_sound:
        console.print(
            f"Every {nouns.record} can be read, and none leaks from one split into another."
            if not no_split
            else f"Every {nouns.record} can be read.",
            style="bold green",
        )
    # print, not rich: a path that is wrapped cannot be copied.
    print(f"A row for each {nouns.record}: {csv_to}")


def _show_targets(
    console: Console, result: CheckResult, target_names: Sequence[str], nouns: Nouns
) -> None:
    records = [clip.record for clip in result.clips]
    unreadable = len(result.with_status("unreadable"))
    has_splits = any(record.split for record in records)
    splits = SPLITS if has_splits else (None,)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("target", overflow="fold")
    for column in (*(SPLITS if has_splits else (nouns.records,)), "unreadable"):
        table.add_column(column, justify="right")
    for target in target_ranges(records, target_names, splits):
        table.add_row(*target, "")
    table.add_section()
    sums = split_sizes(records) if has_splits else (len(records),)
    table.add_row(nouns.records, *map(str, sums), str(unreadable or "-"))
    console.print(table)


def _show_classes(
    console: Console, result: CheckResult, class_names: Sequence[str], task: Task, nouns: Nouns
) -> None:
    records = [clip.record for clip in result.clips]
    unreadable = [clip.record for clip in result.with_status("unreadable")]
    totals, bad = (
        Counter(name for record in found for name in classes_of(record.label, task))
        for found in (records, unreadable)
    )
    splits = any(record.split for record in records)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("class" if task == "single" else "label", overflow="fold")
    for column in (*(("train", "val", "test") if splits else (nouns.records,)), "unreadable"):
        table.add_column(column, justify="right")
    counts = list(split_counts(records, class_names, task))
    # Of many classes the rarest are what one wants to see.
    shown = sorted(counts, key=lambda row: totals[row.class_name])[:MOST_ROWS]
    if len(counts) <= MOST_ROWS + 2:
        shown = counts
    for row in shown:
        name = row.class_name
        figures = (row.train, row.val, row.test) if splits else (totals[name],)
        table.add_row(name, *map(str, figures), str(bad[name] or "-"))
    if len(counts) > len(shown):
        rest = counted(len(counts) - len(shown), "class")
        table.add_row(f"... {rest} with as many {nouns.records} or more")
    table.add_section()
    sums = split_sizes(records) if splits else (len(records),)
    table.add_row(nouns.records, *map(str, sums), str(len(unreadable) or "-"))
    console.print(table)
    ranked = totals.most_common()
    (most, many), (least, few) = ranked[0], ranked[-1]
    if many >= UNEVEN_CLASSES * few:
        console.print(
            f"{most} has {many / few:.0f} times the {nouns.records} of {least}. Training can "
            "weigh them alike: --train.class_weights balanced",
            style="yellow",
            soft_wrap=True,
        )
        console.print()


def _show_figures(console: Console, result: CheckResult, samples: Samples, seconds: float) -> None:
    files: dict[str, CheckedClip] = {}
    for clip in result.clips:
        # Texts of a table lie in one file.
        record = clip.record
        files.setdefault(str(record.source) if record.text is None else record.name, clip)
    read = [clip for clip in files.values() if clip.file.num_frames]
    examinations = [clip.file for clip in read]
    rows: list[tuple[str, str]] = []
    in_table = any(clip.record.text is not None for clip in result.clips)
    noun, num_read = ("text", len(result.clips)) if in_table else ("file", result.num_files)
    noun = "folder" if samples.are_folders else noun
    # What a sample consists of, where a person counts it.
    parts = {"arrays": "rows", "text": "characters", "images": ""}.get(samples.kind, "frames")
    parts = "" if samples.kind == "audio" else parts
    num_frames = sum(file.num_frames for file in examinations)
    counts, rates = f"{num_frames:,} {parts}, ", f", {num_frames / seconds:,.0f} {parts}/s"
    if not parts:
        counts = rates = ""
    num_mb = sum(clip.file.num_bytes for clip in files.values()) / 1e6
    rows.append(
        (
            "read",
            f"{counted(num_read, noun)}, {counts}{num_mb:,.1f} MB in {format_seconds(seconds)} "
            f"({num_read / seconds:,.1f} {noun}s/s{rates})",
        )
    )
    if read:
        rows += _lengths(read, samples, parts)
        if samples.kind == "video":
            rows.append(("frame rate", _range(examinations, lambda file: file.fps, "fps")))
        if examinations[0].width:
            sizes = Counter(f"{file.width}x{file.height}" for file in examinations)
            rows.append(("size", _most_common(sizes)))
        if samples.kind == "video":
            rows.append(("codec", _most_common(Counter(file.codec for file in examinations))))
        if samples.kind == "arrays":
            widths = Counter(str(file.num_values) for file in examinations)
            rows.append(("numbers in a row", _most_common(widths)))
        uneven = [clip.record.name for clip in read if clip.file.variable_rate]
        if uneven:
            rows.append(("variable rate", f"{_named(uneven)}: time stamps are used, no harm"))
        turned = [clip.record.name for clip in read if clip.file.rotation]
        if turned:
            rows.append(("rotated", f"{_named(turned)}: set upright when read, no harm"))
    _print_pairs(console, rows, first="dim")
    console.print()


def _lengths(read: Sequence[CheckedClip], samples: Samples, parts: str) -> list[tuple[str, str]]:
    """The shortest, the median and the longest; in seconds where samples have such."""
    if samples.kind == "images":
        return []
    has_seconds = samples.kind in ("video", "audio")

    def length(clip: CheckedClip) -> float:
        return clip.file.duration_s if has_seconds else clip.file.num_frames

    def described(clip: CheckedClip) -> str:
        words = [f"{clip.file.duration_s:.2f} s"] if has_seconds else []
        words += [counted(clip.file.num_frames, parts.removesuffix("s"))] if parts else []
        return f"{', '.join(words)}: {clip.record.name}"

    by_length = sorted(read, key=length)
    middle = median(length(clip) for clip in read)
    return [
        ("shortest", described(by_length[0])),
        ("median", f"{middle:.2f} s" if has_seconds else f"{middle:g} {parts}"),
        ("longest", described(by_length[-1])),
    ]


def _range(files: Iterable[Examination], value: Callable[[Examination], float], unit: str) -> str:
    values = sorted(round(value(file), 2) for file in files)
    if values[0] == values[-1]:
        return f"{values[0]:g} {unit}"
    return (
        f"{values[0]:g} to {values[-1]:g} {unit}, mostly {Counter(values).most_common(1)[0][0]:g}"
    )


def _most_common(counts: Counter[str]) -> str:
    shown = ", ".join(f"{name} ({number})" for name, number in counts.most_common(3))
    rest = len(counts) - 3
    return shown if rest <= 0 else f"{shown} and {rest} more"


def _named(names: Sequence[str]) -> str:
    return f"{len(names)} ({some(names, limit=2)})"


def _show_findings(console: Console, result: CheckResult, samples: Samples, nouns: Nouns) -> None:
    """Each kind of finding: a headline, its worst cases, and what to do."""
    noun = samples.noun
    same = "pictures" if samples.kind == "video" else "content"
    save = ", save what is whole (ffmpeg -i IN -c:v libx264 OUT.mp4)"
    unreadable = result.with_status("unreadable")
    silent = [clip for clip in unreadable if clip.problem.startswith(NO_TRACK)]
    _show(
        console,
        f"Without sound: {counted(len(silent), 'video')}",
        [(clip.record.name, clip.problem) for clip in silent],
        "Training on sound leaves them out. Take them out of DATA, or train on their pictures, "
        "without --config audio-gru or --data.kind audio.",
        style=BAD,
    )
    unreadable = tuple(clip for clip in unreadable if clip not in silent)
    _show(
        console,
        f"Unreadable: {counted(len(unreadable), nouns.record)}",
        [(clip.record.name, clip.problem) for clip in unreadable],
        f"Training leaves them out. Copy or download them again"
        f"{save if samples.kind == 'video' else ''}, or take them out of DATA. One that is merely "
        "long or large wants a higher --time_limit_s or --memory_limit_mb.",
        style=BAD,
    )
    _show(
        console,
        f"In two splits: {counted(len(result.leaks), noun)} with the same {same}",
        [_places(records) for records in result.leaks],
        "Scores on them are too good. Keep each in one split: delete the copies, or give them one "
        "group (a manifest's group column or --data.group_regex).",
        style=BAD,
    )
    torn = result.torn.items()
    _show(
        console,
        f"Torn: {counted(len(torn), 'group')} in more than one split",
        [(group, f"in {' and '.join(splits)}") for group, splits in torn],
        f"{nouns.records.capitalize()} of a group are alike. Mend the lists or the split column, "
        "or leave the split to cliptide, which tears no group.",
        style=BAD,
    )
    cut = result.with_status("cut short")
    _show(
        console,
        f"Cut short: {counted(len(cut), nouns.record)}",
        [(clip.record.name, clip.problem.removeprefix("cut short: ")) for clip in cut],
        "They are used as far as they go. Copy or download them again if the rest matters.",
    )
    damaged = result.with_status("damaged")
    _show(
        console,
        f"Damaged: {counted(len(damaged), nouns.record)}",
        [(clip.record.name, clip.problem.removeprefix("damaged ")) for clip in damaged],
        "Every frame can be had, but some pictures are broken. Look at them there, and replace "
        "what is spoilt.",
    )
    _show(
        console,
        f"Labelled differently: {counted(len(result.mislabelled), noun)} with the same {same}",
        [_labels(records) for records in result.mislabelled],
        "Only one label can be right. Delete the wrong ones.",
    )
    _show(
        console,
        f"Doubled: {counted(len(result.duplicates), noun)} more than once in a split"
        if any(clip.record.split for clip in result.clips)
        else f"Doubled: {counted(len(result.duplicates), noun)}",
        [_places(records) for records in result.duplicates],
        "They count more than once. Delete the copies.",
    )
    _show(
        console,
        f"Alike in two splits: {counted(len(result.nearly), 'pair')}",
        [
            (
                f"{pair.first.split}: {pair.first.name}",
                f"{pair.second.split}: {pair.second.name} ({pair.bits_apart:.0f} of 64 bits apart)",
            )
            for pair in result.nearly
        ],
        "Look at both. If they are takes of one scene, give them one group. A static camera looks "
        "alike in every clip, so this is no more than a hint.",
    )


def _show_lacking(
    console: Console, result: CheckResult, streams: Sequence[StreamName], nouns: Nouns
) -> None:
    """What has pictures, but not all that is to be read beside them."""
    things: Mapping[Literal["audio", "arrays"], str] = {
        "audio": "sound",
        "arrays": "an array beside it",
    }
    for name, what in things.items():
        lacking = result.lacking(name) if name in streams else []
        total = len(result.clips) - len(result.with_status("unreadable"))
        if len(lacking) == total:
            mend = f"None has it, which training refuses. Leave {name} out of data.streams."
        elif len(streams) == 1:
            mend = f"Training on {name} alone leaves them out. --data.streams rgb,{name} does not."
        else:
            mend = f"Training masks {name} there, and lists them in missing_streams.csv."
        _show(
            console,
            f"Without {what}: {len(lacking)} of {counted(total, nouns.record)}",
            [(clip.record.name, "") for clip in lacking],
            mend,
        )


def _places(records: Sequence[SampleRecord]) -> tuple[str, str]:
    first, *others = (f"{r.split}: {r.name}" if r.split else r.name for r in records)
    return first, some(others)


def _labels(records: Sequence[SampleRecord]) -> tuple[str, str]:
    first, *others = (f"{record.label}: {record.name}" for record in records)
    return first, some(others)


def _show(
    console: Console,
    headline: str,
    rows: Sequence[tuple[str, str]],
    mend: str,
    *,
    style: str = WARNING,
) -> None:
    if not rows:
        return
    console.print(headline, style=style, soft_wrap=True)
    shown = [("  " + name, what) for name, what in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        shown.append((f"  ... and {len(rows) - MOST_ROWS} more", ""))
    _print_pairs(console, shown)
    _print_indented(console, mend)


def _print_pairs(console: Console, rows: Sequence[tuple[str, str]], *, first: str = "") -> None:
    """Two columns on a terminal; a tab between them in a pipe, for `cut` and `grep`."""
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row).rstrip())
        return
    table = Table.grid(padding=(0, 2))
    widest = max(len(name) for name, _ in rows)
    # A name that is wrapped is hard to copy: it gets up to half of the line.
    table.add_column(style=first, overflow="fold", min_width=min(widest, console.width // 2))
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_indented(console: Console, text: str) -> None:
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, 2)), style="dim")
    else:
        print("  " + text)
    console.print()
