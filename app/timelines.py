"""`cliptide predict --timeline`: what happens when in long videos."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cliptide.app.annotate import write_annotated
from cliptide.app.inference.loading import load
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.prediction import FailedVideo
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.terminal import format_seconds, log, result_console, showing, warn
from cliptide.app.inference.timeline import Timeline, missing_notes
from cliptide.app.inference.timeline_formats import clock, csv_columns, csv_rows, to_srt
from cliptide.app.outputs import STDOUT, require_different, require_writable, write_json
from cliptide.app.results import percent
from cliptide.app.sources import expand_sources
from cliptide.configs.errors import CliptideError, ConfigError, InputError, SampleError, VideoError
from cliptide.datasets.catalog import SAMPLES

Result = Timeline | FailedVideo


@dataclass(frozen=True)
class TimelineOutputs:
    """Where timelines are written to; None writes none.

    Attributes:
        json: A file, or `-` for stdout.
        csv: A file for all videos.
        srt: Subtitles: a file for one video, a folder for several.
        video: The annotated MP4, likewise.
    """

    json: str | None = None
    csv: Path | None = None
    srt: Path | None = None
    video: Path | None = None


@dataclass(frozen=True)
class SegmentOptions:
    """How segments are made; None takes what `segments.segment_rule` does."""

    nothing_below: float | None = None
    smooth_s: float | None = None
    least_s: float | None = None


def predict_timelines(
    model: str,
    sources: Sequence[str],
    *,
    outputs: TimelineOutputs,
    options: SegmentOptions,
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Look along videos and write what happens when; an unreadable one costs only itself.

    Args:
        model: A model file.
        sources: Files, folders and globs.
        outputs: What to write.
        options: How segments are made.
        device: Where to compute.
        overwrite: Whether files that exist may be replaced.

    Returns:
        The exit code: 1 when a video could not be read, after all others are done.

    Raises:
        InputError: Model, sources or an output file are wrong.
    """
    recognizer = load(model, device=device)
    streams = recognizer.info.streams
    samples = SAMPLES[streams.samples]
    if not streams.has_seconds:
        raise InputError(
            f"{model} reads {samples.plural}, which have no seconds, so --timeline cannot say what "
            "happens when. Leave it out."
        )
    videos = expand_sources(sources, samples=streams.samples)
    files = _require_outputs(outputs, videos, Nouns.of_streams(streams), overwrite=overwrite)
    _require_task(recognizer, outputs)
    if outputs.video and streams.samples in ("audio", "arrays"):
        raise InputError(
            f"--video draws into pictures, and {model} reads {samples.plural}. Leave --video out; "
            "--srt, --json and --csv say what happens when."
        )
    results: list[Result] = []
    failed: list[FailedVideo] = []
    read: list[str] = []
    try:
        for number, video in enumerate(videos, start=1):
            place = f" {number}/{len(videos)}" if len(videos) > 1 else ""
            result = _look_along(recognizer, video, options=options, place=place)
            results.append(result)
            # Written as soon as it is known: a later video may take hours.
            if isinstance(result, FailedVideo):
                failed.append(result)
                continue
            read.append(video)
            try:
                _write_beside(result, srt=files.srt(video), video=files.video(video), place=place)
            except VideoError as error:  # only the MP4 needs every frame, and the sound
                failed.append(FailedVideo(video, str(error)))
    except (KeyboardInterrupt, CliptideError):
        _write_all(results, outputs)  # hours of work shall not go with the last video
        raise
    _write_all(results, outputs)
    if outputs.json != STDOUT:
        _show(results)
    for path in files.written(read):
        if path.exists():
            log(f"Written: {path}")
    timelines = [result for result in results if isinstance(result, Timeline)]
    for note in missing_notes(timelines, Nouns.of_streams(streams)):
        log(note)
    for failure in failed:
        warn(f"Not read: {failure.error}")
    if failed:
        print(
            f"cliptide: {len(failed)} of {len(results)} {samples.plural} could not be read.",
            file=sys.stderr,
        )
    return 1 if failed else 0


@dataclass(frozen=True)
class _Files:
    """Which file each output of each video goes to."""

    outputs: TimelineOutputs
    several: bool
    names: dict[str, str]

    def srt(self, video: str) -> Path | None:
        return self._of(self.outputs.srt, video, ".srt")

    def video(self, video: str) -> Path | None:
        return self._of(self.outputs.video, video, ".mp4")

    def _of(self, path: Path | None, video: str, suffix: str) -> Path | None:
        if path is None or not self.several:
            return path
        return path / (self.names[video] + suffix)

    def written(self, videos: Sequence[str]) -> list[Path]:
        json_to = self.outputs.json
        paths = [self.outputs.csv, None if json_to in (None, STDOUT) else Path(str(json_to))]
        for video in videos:
            paths += [self.srt(video), self.video(video)]
        return [path for path in paths if path is not None]


def _require_outputs(
    outputs: TimelineOutputs, videos: Sequence[str], nouns: Nouns, *, overwrite: bool
) -> _Files:
    """Refuse now what would fail when all is computed."""
    for flag, path in (("csv", outputs.csv), ("srt", outputs.srt), ("video", outputs.video)):
        if path is not None and str(path) == STDOUT:
            raise InputError(f"--{flag} - is no file. Give its name; --json - writes to stdout.")
    several = len(videos) > 1
    files = _Files(outputs, several, _names(videos))
    if several:
        for flag, folder in (("--srt", outputs.srt), ("--video", outputs.video)):
            if folder is not None:
                if folder.exists() and not folder.is_dir():
                    raise InputError(
                        f"{flag} {folder} is a file, and there are {nouns.counted(len(videos))}. "
                        f"Give a folder: each {nouns.sample} gets a file in it."
                    )
                folder.mkdir(parents=True, exist_ok=True)
    paths = files.written(videos)
    if not several and outputs.video is not None and outputs.video.suffix.lower() != ".mp4":
        raise InputError(
            f"--video {outputs.video} would be an MP4 under another ending. Give a name in .mp4."
        )
    require_different(paths)
    given = {Path(video).resolve() for video in videos}
    for path in paths:
        if path.resolve() in given:
            raise InputError(
                f"{path} is {nouns.one} that is to be read. Give another name to write."
            )
        require_writable(path, overwrite=overwrite)
    return files


def _names(videos: Sequence[str]) -> dict[str, str]:
    """A name for each video's files: its own, with a number where two have the same."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for video in videos:
        name = stem = Path(video).stem
        number = 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        names[video] = name
    return names


def _require_task(recognizer: ActionRecognizer, outputs: TimelineOutputs) -> None:
    if recognizer.task == "regression" and (outputs.srt or outputs.video):
        raise ConfigError(
            "The model predicts numbers, which have no segments for --srt or --video. Use --json "
            "or --csv: they hold each number over time."
        )


def _look_along(
    recognizer: ActionRecognizer, video: str, *, options: SegmentOptions, place: str
) -> Result:
    noun = Nouns.of_streams(recognizer.info.streams).sample
    try:
        with (
            recognizer.play(video) as opened,
            showing(
                total=opened.duration_s, what=f"Looking along{place}", unit=f"s of {noun}"
            ) as tell,
        ):
            return recognizer.timeline(
                opened,
                nothing_below=options.nothing_below,
                smooth_s=options.smooth_s,
                least_s=options.least_s,
                on_progress=tell,
            )
    except SampleError as error:
        return FailedVideo(video, str(error))


def _write_beside(timeline: Timeline, *, srt: Path | None, video: Path | None, place: str) -> None:
    if srt is not None:
        srt.write_text(to_srt(timeline.segments), encoding="utf-8")
    if video is not None:
        with showing(
            total=timeline.duration_s, what=f"Writing video{place}", unit="s of video"
        ) as tell:
            write_annotated(timeline.video, timeline, video, on_progress=tell)


def _write_all(results: Sequence[Result], outputs: TimelineOutputs) -> None:
    if outputs.csv is not None:
        with outputs.csv.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            timelines = [result for result in results if isinstance(result, Timeline)]
            if timelines:
                writer.writerow(csv_columns(timelines[0]))
            for timeline in timelines:
                writer.writerows(csv_rows(timeline))
    if outputs.json is not None:
        write_json(outputs.json, [result.to_json() for result in results])


def _show(results: Sequence[Result]) -> None:
    """A table a video on a terminal; else a line a segment: video, start, end, label, score."""
    console = result_console()
    timelines = [result for result in results if isinstance(result, Timeline)]
    if not console.is_terminal:
        for timeline in timelines:
            for row in csv_rows(timeline):
                print("\t".join(row))
            if timeline.task != "regression" and not timeline.segments:
                log(_heading(timeline).strip())
        return
    for timeline in timelines:
        console.print(_heading(timeline))
        if timeline.task == "regression":
            console.print(_value_table(timeline))
        elif timeline.segments:
            console.print(_segment_table(timeline))


def _heading(timeline: Timeline) -> str:
    length = format_seconds(timeline.duration_s)
    if timeline.task == "regression":
        return f"\n{timeline.video} ({length})"
    if not timeline.segments:
        return (
            f"\n{timeline.video} ({length}): nothing of what the model knows, or nothing for long "
            "enough. A lower --nothing_below or --least_s shows more."
        )
    lasting = ", ".join(
        f"{label} {format_seconds(seconds)}" for label, seconds in timeline.seconds_of().items()
    )
    return f"\n{timeline.video} ({length}): {lasting}"


def _segment_table(timeline: Timeline) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("from", "to", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("label", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    for segment in timeline.segments:
        table.add_row(
            clock(segment.start_s),
            clock(segment.end_s),
            f"{segment.end_s - segment.start_s:.1f}",
            segment.label,
            percent(segment.score),
        )
    return table


SHOWN_VALUES = 12


def _value_table(timeline: Timeline) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("at", justify="right", no_wrap=True)
    for name in timeline.class_names:
        table.add_column(name, justify="right")
    step = max(1, -(-len(timeline.times_s) // SHOWN_VALUES))
    for time_s, row in zip(timeline.times_s[::step], timeline.scores[::step], strict=True):
        table.add_row(clock(float(time_s)), *(f"{value:.4g}" for value in row))
    return table
