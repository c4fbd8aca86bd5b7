"""The decode benchmark's tables, in Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from decode_sets import VideoSet
from decode_timing import Timings

# At least this share of the time goes into what no reader can leave out.
OF_CEILING = 0.88
OTHERS = ("TorchCodec", "decord", "OpenCV")
BEGIN, END = "<!-- decode -->", "<!-- /decode -->"
WRONG = "†"
# By how much a ratio on the clock may differ from the one of CPU time before it is told.
DISAGREE = 0.1


@dataclass(frozen=True)
class Row:
    """One set in one setting."""

    videos: VideoSet
    frames: str
    size: str
    timings: Timings


def headline(rows: Sequence[Row]) -> list[str]:
    """The table with every reader, and what must be known to read it."""
    readers = ("cliptide", "TorchCodec", "TorchCodec approximate", "decord", "OpenCV")
    readers += ("PyAV in order",)
    titles = ["set", "kbit/s", *readers, "of ceiling", "of decoding alone"]
    titles += ["TorchCodec / cliptide", "fastest / cliptide"]
    lines = _head(titles)
    for row in rows:
        timings = row.timings
        low, high = row.videos.kbit_s
        cells = [row.videos.name, f"{low}" if low == high else f"{low} to {high}"]
        cells += [_ms(timings, reader) for reader in readers]
        cells += [_share(timings, "ceiling", OF_CEILING), _share(timings, "decoding", None)]
        cells += [_ratio(timings, "TorchCodec", row.videos.torchcodec), _fastest(row)]
        lines.append(_line(cells))
    return [*lines, "", *_notes(rows)]


def short(rows: Sequence[Row]) -> list[str]:
    """The ratios of many settings, a table for each."""
    lines: list[str] = []
    for frames, size in dict.fromkeys((row.frames, row.size) for row in rows):
        lines += ["", f"## {_what(frames)} to {size}", ""]
        lines += _head(
            ["set", "cliptide ms", "of ceiling", "TorchCodec / cliptide", "fastest / cliptide"]
        )
        chosen = [row for row in rows if (row.frames, row.size) == (frames, size)]
        for row in chosen:
            cells = [row.videos.name, _ms(row.timings, "cliptide")]
            cells += [_share(row.timings, "ceiling", None)]
            cells += [_ratio(row.timings, "TorchCodec", None), _fastest(row, judged=False)]
            lines.append(_line(cells))
        lines += ["", *_notes(chosen)]
    return lines


def rewrite_readme(path: Path, rows: Sequence[Row]) -> None:
    """Put the short form of the headline table between the README's markers."""
    lines = _head(
        ["set", "cliptide ms", "TorchCodec / cliptide", "fastest other / cliptide", "of ceiling"]
    )
    for row in rows:
        timings = row.timings
        right = timings.fastest(OTHERS, right=True)
        cells = [row.videos.name, f"{timings.ms('cliptide'):.1f}"]
        cells += [_plain(timings, "TorchCodec"), _plain(timings, right)]
        cells.append(f"{timings.ratio('ceiling', 'cliptide')[0]:.2f}")
        lines.append(_line(cells))
    if any("TorchCodec" in row.timings.wrong for row in rows):
        lines += ["", f"{WRONG} gives other frames than those asked for"]
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path}: no {BEGIN} and {END} in it. Put them where the table goes.")
    table = "\n".join([BEGIN, *lines, END])
    path.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, text, flags=re.S), encoding="utf-8")


def missed(rows: Sequence[Row]) -> list[str]:
    """What is required and was not reached, one line each."""
    lines = []
    for row in rows:
        timings, name = row.timings, row.videos.name
        right = timings.fastest(OTHERS, right=True)
        wants = [("ceiling", "of ceiling", OF_CEILING), (right, "fastest", row.videos.fastest)]
        wants.append(("TorchCodec", "TorchCodec", row.videos.torchcodec))
        for reader, what, wanted in wants:
            if reader in timings.cpu_s and wanted is not None:
                value = timings.ratio(reader, "cliptide")[0]
                if round(value, 2) < wanted:
                    lines.append(f"- {name}: {what} {value:.2f}, wanted {wanted}")
    return lines


def _what(frames: str) -> str:
    return "Every frame" if frames == "all" else f"{frames} uniform frames"


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|---" + "|---:" * (len(titles) - 1) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(timings: Timings, reader: str) -> str:
    if reader in timings.failed:
        return "fails"
    if reader not in timings.cpu_s:
        return "-"
    return f"{timings.ms(reader):.1f}{WRONG if reader in timings.wrong else ''}"


def _plain(timings: Timings, reader: str | None) -> str:
    if reader not in timings.cpu_s:
        return "-"
    mark = WRONG if reader in timings.wrong else ""
    return f"{timings.ratio(reader, 'cliptide')[0]:.2f}{mark}"


def _share(timings: Timings, part: str, wanted: float | None) -> str:
    return _judged(timings.ratio(part, "cliptide"), "", wanted)


def _ratio(timings: Timings, reader: str | None, wanted: float | None) -> str:
    if reader not in timings.cpu_s:
        return "-"
    mark = WRONG if reader in timings.wrong else ""
    return _judged(timings.ratio(reader, "cliptide"), mark, wanted)


def _judged(ratio: tuple[float, float, float], mark: str, wanted: float | None) -> str:
    middle, least, most = ratio
    cell = f"{middle:.2f}{mark} ({least:.2f}-{most:.2f})"
    if wanted is None:
        return cell
    return (
        f"{cell}, wanted {wanted}" if round(middle, 2) >= wanted else f"**{cell}, MISSED {wanted}**"
    )


def _fastest(row: Row, *, judged: bool = True) -> str:
    """The fastest that gives the asked frames, and a faster one that does not."""
    timings = row.timings
    of_all, right = (timings.fastest(OTHERS, right=right) for right in (False, True))
    cell = _ratio(timings, right, row.videos.fastest if judged else None)
    cell += f" {right}" if right else ""
    if of_all != right and of_all is not None:
        cell += f"; {_plain(timings, of_all)} {of_all}"
    return cell


def _notes(rows: Sequence[Row]) -> list[str]:
    """Wrong frames, failures, how TorchCodec resized, and where the clocks disagree."""
    notes, clocks = [], []
    for row in rows:
        for reader, count in row.timings.wrong.items():
            asked = row.timings.asked
            text = f"{count} of {asked} frames are others than asked"
            notes.append(f"- {WRONG} {row.videos.name}: {reader}, {text}.")
        for reader, reason in row.timings.failed.items():
            notes.append(f"- {row.videos.name}: {reader} fails ({reason}).")
        for reader in OTHERS:
            if reader in row.timings.cpu_s:
                cpu = row.timings.ratio(reader, "cliptide")[0]
                wall = row.timings.ratio(reader, "cliptide", wall=True)[0]
                if abs(wall / cpu - 1) > DISAGREE:
                    clocks.append(f"{row.videos.name}, {reader}: {wall:.2f} in place of {cpu:.2f}")
    read = [row for row in rows if "TorchCodec" in row.timings.cpu_s]
    inside = [row.videos.name for row in read if row.timings.resizes_inside]
    if read:
        where = (
            f"resizes in its decoder on {', '.join(inside)}; elsewhere " if inside else "leaves "
        )
        what = "torch resizes afterwards" if inside else "resizing to torch, afterwards"
        notes.append(f"- TorchCodec {where}{what}: the faster of the two for each set.")
    if clocks:
        notes.append(f"- On the clock, where it differs from CPU time: {'; '.join(clocks)}.")
    return notes
