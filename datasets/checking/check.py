"""Checking a data set: each file once, then every clip against its file and the other clips."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from cliptide.configs.errors import SampleError
from cliptide.configs.streams import SampleKind, StepsConfig
from cliptide.datasets.catalog.wording import some
from cliptide.datasets.checking.comparing import near_pairs, same_content
from cliptide.datasets.checking.samples import examine_sample, examine_texts
from cliptide.datasets.checking.workers import Failure, Limits, in_workers
from cliptide.datasets.records import SPLITS, SampleRecord
from cliptide.datasets.streams.arrays import array_path, differing
from cliptide.datasets.video.examine import Examination, examine
from cliptide.datasets.video.timeline import TOLERANCE_S

Item = TypeVar("Item")

# An annotation may end where the last frame's display does, rounded.
_END_SLACK_S = 0.5


@dataclass(frozen=True)
class CheckedClip:
    """One clip and all that was found.

    Attributes:
        record: The clip.
        file: What reading its file showed; clips of one file share it.
        status: As in `Examination`, for this clip.
        problem: What is wrong with it, in words; empty where nothing is.
        at_s: Where it begins to be wrong, seconds; None for nowhere, or all of it.
        duplicate_of: The first clip with the same pictures, if it is another.
        same_content_in: Clips in other splits with the same content, such as `test: a/x.mp4`.
        looks_like: The clip in another split that looks most like it, if any does.
        bits_apart: How many of 64 bits differ between the looks of both, on average.
    """

    record: SampleRecord
    file: Examination
    status: str = "ok"
    problem: str = ""
    at_s: float | None = None
    duplicate_of: str = ""
    same_content_in: str = ""
    looks_like: str = ""
    bits_apart: float | None = None


@dataclass(frozen=True)
class NearlyAlike:
    """Two clips of different splits that look alike, and the bits of 64 that differ."""

    first: SampleRecord
    second: SampleRecord
    bits_apart: float


@dataclass(frozen=True)
class CheckResult:
    """What is right and wrong with a data set.

    Attributes:
        clips: Every clip, in the order of the records.
        num_files: Files that were read; several names of one file count once.
        leaks: Clips of the same content that stand in several splits, each list one content.
        duplicates: Clips of the same content within one split.
        mislabelled: Clips of the same content with different labels.
        torn: Groups that stand in several splits, with these.
        nearly: Clips of different splits that look alike, the most alike first.
    """

    clips: tuple[CheckedClip, ...]
    num_files: int
    leaks: tuple[tuple[SampleRecord, ...], ...]
    duplicates: tuple[tuple[SampleRecord, ...], ...]
    mislabelled: tuple[tuple[SampleRecord, ...], ...]
    torn: Mapping[str, tuple[str, ...]]
    nearly: tuple[NearlyAlike, ...]

    def with_status(self, status: str) -> tuple[CheckedClip, ...]:
        """The clips of one status."""
        return tuple(clip for clip in self.clips if clip.status == status)

    def lacking(self, stream: Literal["audio", "arrays"]) -> list[CheckedClip]:
        """The clips with pictures and without `audio`, or without `arrays` beside them."""
        seen = [clip for clip in self.clips if clip.status != "unreadable" and clip.file.width]
        if stream == "audio":
            return [clip for clip in seen if not clip.file.has_audio]
        return [clip for clip in seen if not _has_array(clip)]

    @property
    def is_sound(self) -> bool:
        """Whether all can be read and nothing stands in two splits."""
        return not (self.with_status("unreadable") or self.leaks or self.torn)


def _has_array(clip: CheckedClip) -> bool:
    try:
        array_path(clip.record.source)
    except SampleError:
        return False
    return True


def unique_files(records: Sequence[SampleRecord]) -> dict[Path, list[int]]:
    """The files behind the clips, each with the positions of its clips.

    A file that is reached through several names (links) is listed under the first.
    """
    by_identity: dict[Hashable, Path] = {}
    places: dict[Path, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        file = by_identity.setdefault(_identity(record.source), record.source)
        places[file].append(place)
    return dict(places)


def _identity(path: Path) -> Hashable:
    try:
        status = path.stat()
    except (OSError, ValueError):  # not there any more: told of when it is read
        return str(path)
    # Some file systems on Windows number no files.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def check_clips(
    records: Sequence[SampleRecord],
    *,
    workers: int,
    limits: Limits,
    track: Callable[[Iterator[tuple[Path, Examination]], int], Iterator[tuple[Path, Examination]]],
    samples: SampleKind = "video",
    steps: StepsConfig | None = None,
) -> CheckResult:
    """Read every file and compare the clips.

    Args:
        records: The clips, each with its split, or all without one.
        workers: Processes that read.
        limits: What one file may cost.
        track: Hands on what it is given (with the number of it), to show how far it is.
        samples: What they are.
        steps: Rates of what brings no times; None for the usual ones.

    Raises:
        CliptideError: The processes cannot be started.
    """
    files = unique_files(records)
    if any(record.text is not None for record in records):  # all in one table, which was read
        examinations = examine_texts(records)
    else:
        found: dict[int, Examination] = {}
        examined = examine_files(list(files), workers, limits, samples=samples, steps=steps)
        for file, examination in track(examined, len(files)):
            for place in files[file]:
                found[place] = examination
        examinations = [found[place] for place in range(len(records))]
    if samples == "arrays":
        examinations = _of_like_columns(examinations)
    clips = [_checked(*pair) for pair in zip(records, examinations, strict=True)]
    return _compared(clips, num_files=len(files))


def examine_files(
    files: Sequence[Path],
    workers: int,
    limits: Limits,
    *,
    samples: SampleKind = "video",
    steps: StepsConfig | None = None,
) -> Iterator[tuple[Path, Examination]]:
    """Examine files in guarded processes, in the order they are done, the largest begun first.

    Args:
        files: What to read.
        workers: Processes that read.
        limits: What one file may cost.
        samples: What they are.
        steps: Rates of what brings no times; None for the usual ones.
    """
    # A long video that comes last would leave all processes but one with nothing to do.
    largest_first = sorted(files, key=_num_bytes, reverse=True)
    read, home = examine, examine.__module__
    if samples != "video":
        read = partial(examine_sample, kind=samples, steps=steps or StepsConfig())
        home = examine_sample.__module__
    results = in_workers(read, largest_first, workers=workers, limits=limits, preload=home)
    for file, result in results:
        if isinstance(result, Failure):
            yield file, Examination(status="unreadable", problem=result.cause)
        else:
            yield file, result


def _of_like_columns(examinations: Sequence[Examination]) -> list[Examination]:
    """Tell arrays whose columns are not those of most, which training leaves out."""
    widths = Counter(found.num_values for found in examinations if found.num_values)
    width = widths.most_common(1)[0][0] if widths else 0
    names = Counter(
        tuple(sorted(found.columns))
        for found in examinations
        if found.columns and found.num_values == width
    )
    usual = names.most_common(1)[0][0] if names else ()
    return [_held_against(found, width, usual) for found in examinations]


def _held_against(found: Examination, width: int, usual: tuple[str, ...]) -> Examination:
    problem = ""
    if found.num_values not in (0, width):
        problem = f"it has {found.num_values} numbers in a row, but most have {width}"
    elif found.columns and (difference := differing(found.columns, usual)):
        problem = f"it {difference}"
    return replace(found, status="unreadable", problem=problem) if problem else found


def _num_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except (OSError, ValueError):
        return 0


def _checked(record: SampleRecord, file: Examination) -> CheckedClip:
    """Hold a clip inside a longer video against that video."""
    clip = CheckedClip(record, file, file.status, file.problem, file.at_s)
    if file.status == "unreadable" or not file.num_frames:
        return clip
    if record.start_s > file.last_frame_s + TOLERANCE_S:
        end = "video's last frame" if file.width else "file's end"
        problem = f"begins at {record.start_s:g} s, but the {end} is at {file.last_frame_s:.2f} s"
        return replace(clip, status="unreadable", problem=problem, at_s=record.start_s)
    if record.end_s is not None and 0 < file.duration_s < record.end_s - _END_SLACK_S:
        what = "video" if file.width else "file"
        problem = f"ends at {record.end_s:g} s, but the {what} at {file.duration_s:.2f} s"
        problem = f"{clip.problem}; {problem}" if clip.problem else problem
        status = "cut short" if clip.status == "ok" else clip.status
        return replace(clip, status=status, problem=problem, at_s=file.duration_s)
    return clip


def _compared(clips: Sequence[CheckedClip], *, num_files: int) -> CheckResult:
    clips = list(clips)
    contents = [clip.file.frames_hash or None for clip in clips]
    leaks, duplicates, mislabelled = [], [], []
    for places in same_content(contents):
        records = [clips[place].record for place in places]
        if len({record.split for record in records}) > 1:
            leaks.append(tuple(records))
            for place in places:
                clips[place] = _with_leak(clips[place], records)
        for repeated in _repeated(clips, places):
            alike = [clips[place].record for place in repeated]
            if len({record.split for record in alike}) < len(alike):
                duplicates.append(tuple(alike))
            if len({record.label for record in alike}) > 1:
                mislabelled.append(tuple(alike))
            for place in repeated[1:]:
                clips[place] = replace(clips[place], duplicate_of=alike[0].name)
    alone = [content or ("none", place) for place, content in enumerate(contents)]
    nearly = []
    pairs = near_pairs(
        [clip.file.looks for clip in clips],
        splits=[clip.record.split for clip in clips],
        contents=alone,
    )
    for one, other, bits in pairs:
        nearly.append(NearlyAlike(clips[one].record, clips[other].record, bits))
        for place, like in ((one, other), (other, one)):
            if clips[place].bits_apart is None:  # the nearest comes first
                name = clips[like].record.name
                clips[place] = replace(clips[place], looks_like=name, bits_apart=bits)
    return CheckResult(
        clips=tuple(clips),
        num_files=num_files,
        leaks=tuple(leaks),
        duplicates=tuple(duplicates),
        mislabelled=tuple(mislabelled),
        torn=splits_of_torn_groups([clip.record for clip in clips]),
        nearly=tuple(nearly),
    )


def _with_leak(clip: CheckedClip, records: Sequence[SampleRecord]) -> CheckedClip:
    elsewhere = [f"{r.split}: {r.name}" for r in records if r.split != clip.record.split]
    return replace(clip, same_content_in=some(elsewhere))


def _repeated(clips: Sequence[CheckedClip], places: Sequence[int]) -> list[list[int]]:
    """Of clips with one content, those that are the very same stretch of it."""
    spans = [(clips[place].record.start_s, clips[place].record.end_s) for place in places]
    return [[places[i] for i in found] for found in same_content(spans)]


def splits_of_torn_groups(records: Sequence[SampleRecord]) -> dict[str, tuple[str, ...]]:
    """The groups that stand in more than one split, sorted by name, with those splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.split is not None:
            splits[record.group].add(record.split)
    return {
        group: tuple(split for split in SPLITS if split in splits[group])
        for group in sorted(splits)
        if len(splits[group]) > 1
    }
