"""`cliptide check`: every file read once; a table on the terminal, a row for each clip in a CSV."""

import csv
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptide.app.check_tables import show_check
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log, track
from cliptide.app.outputs import require_writable
from cliptide.app.training.split_table import group_notes, split_title
from cliptide.configs.errors import DataError, InputError, LeakError, SplitError
from cliptide.configs.schema import DataConfig, RunConfig
from cliptide.configs.streams import SampleKind
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import SAMPLE_KINDS, SAMPLES, read_catalog
from cliptide.datasets.catalog.wording import counted, relative_name
from cliptide.datasets.checking.check import CheckedClip, CheckResult, check_clips
from cliptide.datasets.checking.workers import Limits
from cliptide.datasets.folds import read_fold
from cliptide.datasets.processes import usable_cores
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.learning import stream_names
from cliptide.datasets.video.examine import Examination

COLUMNS = (
    "video",
    "label",
    "split",
    "group",
    "status",
    "problem",
    "at_s",
    "frames",
    "header_frames",
    "duration_s",
    "fps",
    "variable_rate",
    "width",
    "height",
    "rotation",
    "has_audio",
    "codec",
    "bytes",
    "content_hash",
    "frames_hash",
    "duplicate_of",
    "same_content_in",
    "looks_like",
    "bits_apart",
    "group_torn_between",
)


@dataclass(frozen=True)
class _Clips:
    """What is to be checked.

    Attributes:
        records: The clips, with the splits training would give them, if it can give any.
        title: What they are, in a line.
        class_names: The classes, labels or targets; none where DATA has none.
        notes: What the user should know of DATA.
        no_split: Why there is no split; empty where there is one.
        task: What the labels mean.
        samples: What they are on disk.
    """

    records: tuple[SampleRecord, ...]
    title: str
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    no_split: str = ""
    task: Task = "single"
    samples: SampleKind = "video"


def check(
    data: Path,
    *,
    config: RunConfig | None = None,
    csv_to: Path,
    overwrite: bool = False,
    workers: int | str = "auto",
    time_limit_s: float = 300.0,
    memory_limit_mb: int = 2048,
) -> int:
    """Check a data set, print what was found, and write the CSV.

    Args:
        data: A data set; see `read_catalog`. A folder of videos without classes will do.
        config: Decides the split, as in training, the streams that each sample should have, and
            the rates of what brings no times.
        csv_to: File to write a row for each clip to.
        overwrite: Whether it may be replaced.
        workers: Processes that read, or `auto` for one a processor core.
        time_limit_s: What one file may take.
        memory_limit_mb: What one file may take, MiB.

    Returns:
        The exit code: 1 where a clip is unreadable, the same content stands in two splits, or
        a group is torn between splits; else 0.

    Raises:
        InputError: DATA or an option is wrong.
    """
    _require_options(workers, time_limit_s, memory_limit_mb)
    require_writable(csv_to, overwrite=overwrite)
    try:
        config = config or RunConfig()
        clips = _read(data, config)
    except LeakError as error:
        print(f"cliptide: {error}", file=sys.stderr)
        return 1
    streams = config.data.stream_names()
    if streams:  # refused here as training would
        stream_names(streams, clips.samples, steps=config.steps)
    began = time.perf_counter()
    result = check_clips(
        clips.records,
        workers=min(usable_cores() if workers == "auto" else int(workers), len(clips.records)),
        limits=Limits(time_limit_s, memory_limit_mb),
        track=_track,
        samples=clips.samples,
        steps=config.steps,
    )
    seconds, nouns = time.perf_counter() - began, Nouns.of_samples(clips.samples)
    write_check(csv_to, result)
    for note in clips.notes:
        log(f"Note: {note}")
    show_check(
        result,
        title=clips.title,
        class_names=clips.class_names,
        no_split=clips.no_split,
        task=clips.task,
        samples=SAMPLES[clips.samples],
        streams=streams,
        nouns=nouns,
        seconds=seconds,
        csv_to=csv_to,
    )
    if result.is_sound:
        return 0
    print(f"cliptide: {_verdict(result, nouns)}.", file=sys.stderr)
    return 1


def _require_options(workers: int | str, time_limit_s: float, memory_limit_mb: int) -> None:
    if workers != "auto" and int(workers) < 1:
        raise InputError(f"workers is {workers}. Use auto, or 1 or more.")
    if not 0 < time_limit_s <= 1e7:
        raise InputError(f"time_limit_s is {time_limit_s:g}. Use seconds above 0, such as 300.")
    if not 16 <= memory_limit_mb <= 2**30:
        raise InputError(f"memory_limit_mb is {memory_limit_mb}. Use 16 or more, such as 2048.")


def _track(
    results: Iterator[tuple[Path, Examination]], total: int
) -> Iterator[tuple[Path, Examination]]:
    return track(results, total=total, what="Checking", unit="files")


def _read(data: Path, config: RunConfig) -> _Clips:
    """Read the data set and split it as training would; go without where that is refused."""
    keys: DataConfig = config.data
    layout: dict[str, Any] = {
        "kind": keys.kind,
        "group_regex": keys.group_regex,
        "task": keys.task,
    }
    try:
        catalog, plan = read_fold(
            data,
            folds=keys.folds,
            fold=keys.fold,
            seed=config.seed,
            val_share=keys.val_share,
            test_share=keys.test_share,
            **layout,
        )
    except SplitError as error:
        # Either the split that the data brings is wrong, or none can be made.
        catalog = read_catalog(data, fold=1 if keys.folds else keys.fold, **layout)
        return _Clips(
            catalog.records,
            f"{data}: without a split",
            catalog.class_names,
            catalog.notes,
            no_split=str(error),
            task=catalog.task,
            samples=catalog.samples,
        )
    except DataError as error:
        kind = next((known for known in SAMPLE_KINDS if known == keys.kind), None)
        asked = (keys.kind != "auto" and kind is None) or keys.task in ("multi", "regression")
        found = SAMPLES[kind or "video"].find(data) if data.is_dir() else []
        if asked or not found:
            raise
        return _loose_samples(data, found, kind or "video", why=str(error))
    notes = (*catalog.notes, *plan.notes, *group_notes(catalog))
    title = split_title(catalog, plan)
    return _Clips(
        plan.records,
        title,
        catalog.class_names,
        notes,
        task=catalog.task,
        samples=catalog.samples,
    )


def _loose_samples(data: Path, found: Sequence[Path], kind: SampleKind, *, why: str) -> _Clips:
    """Samples that training could not use as they lie can be read all the same."""
    records = []
    for sample in found:
        name = relative_name(sample, data)
        records.append(SampleRecord(source=sample, name=name, label="", group=name))
    title = f"{data}: without classes or a split"
    return _Clips(tuple(records), title, (), (), no_split=why, samples=kind)


def write_check(path: Path, result: CheckResult) -> None:
    """Write one CSV line a clip, in the order of the clips.

    Args:
        path: The file to write; replaced if it exists.
        result: What was found.
    """
    # File names need not be UTF-8: surrogateescape writes the bytes they had back again.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for clip in result.clips:
            torn = result.torn.get(clip.record.group, ())
            writer.writerow(_row(clip, torn))


def _row(clip: CheckedClip, torn: Sequence[str]) -> list[str | int]:
    record, file = clip.record, clip.file
    seen = file.num_frames > 0
    is_picture = file.width > 0
    return [
        record.name,
        record.label,
        record.split or "",
        record.group,
        clip.status,
        clip.problem,
        "" if clip.at_s is None else f"{clip.at_s:.3f}",
        file.num_frames,
        "" if file.header_frames is None else file.header_frames,
        f"{file.duration_s:.3f}" if seen and file.duration_s else "",
        f"{file.fps:.3f}" if is_picture else "",
        ("true" if file.variable_rate else "false") if is_picture else "",
        file.width if is_picture else "",
        file.height if is_picture else "",
        file.rotation if is_picture else "",
        ("true" if file.has_audio else "false") if is_picture else "",
        file.codec,
        file.num_bytes,
        file.content_hash,
        file.frames_hash,
        clip.duplicate_of,
        clip.same_content_in,
        clip.looks_like,
        "" if clip.bits_apart is None else f"{clip.bits_apart:.1f}",
        " and ".join(torn),
    ]


def _verdict(result: CheckResult, nouns: Nouns) -> str:
    found = [
        (len(result.with_status("unreadable")), nouns.record, "cannot be read"),
        (len(result.leaks), "sample", "with the same content in two splits"),
        (len(result.torn), "group", "torn between splits"),
    ]
    return ", ".join(f"{counted(number, noun)} {what}" for number, noun, what in found if number)
