"""Timing readers in turn, and checking what they gave.

CPU time is compared: it is the clock's on a machine with nothing else to do, and on any other it
leaves out what else was done. Files are in the disk's cache, so nothing waits.
"""

import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from decode_check import Reference, check_pixels
from decode_readers import Reader, TorchCodec, cliptide, plan_cpu_s

# Shorter timings say more about the machine than about the reader.
SHORTEST_TIMING_S = 0.15

Asked = Sequence[tuple[Path, list[int]]]


@dataclass
class Timings:
    """What was measured of one set in one setting.

    Attributes:
        cpu_s: CPU seconds a video of each reader, one for each run. "ceiling" is cliptide's plan
            without conversion, "decoding" the same without opening.
        wall_s: Seconds on the clock of each reader, likewise.
        wrong: Frames given that are others than asked, of each reader that gives such.
        failed: Why a reader did not take part.
        asked: Frames asked for, over all videos.
        resizes_inside: Whether TorchCodec was faster resizing in its decoder than with torch.
    """

    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    wall_s: dict[str, list[float]] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    resizes_inside: bool = True

    def ms(self, reader: str) -> float:
        """Milliseconds a video, the median over the runs."""
        return statistics.median(self.cpu_s[reader]) * 1e3

    def ratio(self, slow: str, fast: str, *, wall: bool = False) -> tuple[float, float, float]:
        """How many times as long `slow` takes, within each run: median, least, most."""
        times = self.wall_s if wall else self.cpu_s
        ratios = [s / f for s, f in zip(times[slow], times[fast], strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)

    def fastest(self, readers: Sequence[str], *, right: bool) -> str | None:
        """The fastest of some readers; with `right`, of those that give the asked frames."""
        took_part = [r for r in readers if r in self.cpu_s and not (right and r in self.wrong)]
        return min(took_part, key=self.ms, default=None)


def uniform_indices(num_frames: int, wanted: int | None) -> list[int]:
    """The middles of `wanted` equal parts; every frame where there are no more, or for None."""
    if wanted is None or wanted >= num_frames:
        return list(range(num_frames))
    return [int((i + 0.5) * num_frames / wanted) for i in range(wanted)]


def measure(
    references: Sequence[Reference],
    wanted: int | None,
    size: tuple[int, int],
    readers: dict[str, Reader],
    *,
    runs: int,
    thorough: bool,
    say: Callable[[str], None],
) -> Timings:
    """Time cliptide, its ceiling and other readers on the videos of a set.

    The order of the readers moves on from video to video. An untimed run goes before: it fills
    the disk's cache, and its frames are checked.

    Args:
        references: The videos.
        wanted: Frames of each video, spread uniformly; None for every frame.
        size: (height, width) of the frames.
        readers: The others, by name.
        runs: Timed runs.
        thorough: Whether short readings are repeated within a run, and cliptide's frames are
            compared pixel for pixel too.
        say: Takes progress.

    Raises:
        AssertionError: A frame of cliptide's is not the one asked for, or differs in a pixel.
    """
    asked = [(ref.path, uniform_indices(ref.num_frames, wanted)) for ref in references]
    result = Timings(asked=sum(len(indices) for _, indices in asked))
    if thorough:
        for path, indices in asked:
            # Every frame at its own size would fill the memory; a spread of them says the same.
            check_pixels(path, indices[:: max(1, len(indices) // 32)])
    readers = {"cliptide": cliptide} | _faster_torchcodec(readers, asked, size, result)
    taking_part = {
        n: r for n, r in readers.items() if _gives(n, r, references, asked, size, result)
    }
    if "cliptide" in result.wrong or "cliptide" in result.failed:
        raise AssertionError(f"cliptide: {result.wrong} wrong, {result.failed}")

    once, _ = _timed(lambda: [cliptide(path, indices, size) for path, indices in asked])
    repeats = max(1, round(SHORTEST_TIMING_S / once)) if thorough else 1
    order = ["plan", *taking_part]
    for run in range(runs):
        say(f"run {run + 1} of {runs}")
        cpu_s: dict[str, float] = defaultdict(float)
        wall_s: dict[str, float] = defaultdict(float)
        # Turns are as short as can be: what else the machine does then meets all alike.
        for path, indices in [*asked] * repeats:
            for name in order:
                if name == "plan":
                    whole, decoding = plan_cpu_s(path, indices)
                    cpu_s["ceiling"] += whole
                    cpu_s["decoding"] += decoding
                    continue
                cpu, wall = _timed(partial(taking_part[name], path, indices, size))
                cpu_s[name] += cpu
                wall_s[name] += wall
            order.append(order.pop(0))
        for sums, lists in ((cpu_s, result.cpu_s), (wall_s, result.wall_s)):
            for name, seconds in sums.items():
                lists.setdefault(name, []).append(seconds / repeats / len(asked))
    return result


@contextmanager
def one_core() -> Iterator[None]:
    """Hold the process to one core: decord and others have threads beside the one asked for."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, of all threads, and seconds on the clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _faster_torchcodec(
    readers: dict[str, Reader], asked: Asked, size: tuple[int, int], result: Timings
) -> dict[str, Reader]:
    """Let TorchCodec resize where that is faster: in its decoder, or with torch afterwards."""
    if "TorchCodec" not in readers:
        return readers
    least = {True: float("inf"), False: float("inf")}
    for _ in range(2):
        for inside in least:
            read = TorchCodec("exact", inside=inside)
            try:
                took, _ = _timed(lambda read=read: [read(*one, size) for one in asked[:4]])
            except Exception:  # `measure` meets it again and reports it
                return readers
            least[inside] = min(least[inside], took)
    result.resizes_inside = least[True] <= least[False]
    return {
        name: TorchCodec(reader.seek_mode, inside=result.resizes_inside)
        if isinstance(reader, TorchCodec)
        else reader
        for name, reader in readers.items()
    }


def _gives(
    name: str,
    read: Reader,
    references: Sequence[Reference],
    asked: Asked,
    size: tuple[int, int],
    result: Timings,
) -> bool:
    """Read once, count frames that are others than asked; False where a reader cannot."""
    wrong = 0
    for reference, (path, indices) in zip(references, asked, strict=True):
        try:
            frames = read(path, indices, size)
        except Exception as error:  # every library has exceptions of its own
            print(f"{name}, {path.name}: {error}", file=sys.stderr)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            result.failed[name] = f"{path.name}: {reason.split(': ', 1)[-1][:90]}"
            return False
        wrong += reference.wrong_frames(frames, indices)
    if wrong:
        result.wrong[name] = wrong
    return True
