"""Which training and validation samples lack one of several streams: missing_streams.csv.

    video,split,stream,error

Such a sample is learnt from with the stream masked, so it is no case for the quarantine; but what
nobody counts, nobody mends.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cliptide.app.inference.terminal import log
from cliptide.datasets.clips import Sample
from cliptide.datasets.records import SampleRecord

MISSING_FILE = "missing_streams.csv"
COLUMNS = ("video", "split", "stream", "error")

_SPLITS = {"train": "training", "val": "validation"}


class MissingStreams:
    """Streams that samples lack, and why; written as soon as one is found.

    Args:
        path: The CSV file; there only when any sample lacks a stream.

    Attributes:
        reasons: By (video, stream) the split and why, in the order they were found.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: dict[tuple[str, str], tuple[str, str]] = {}
        self._told: Counter[tuple[str, str]] = Counter()

    def add(self, records: Sequence[SampleRecord], samples: Iterable[Sample]) -> None:
        """Note what samples lack, each sample and stream once.

        Args:
            records: What the samples index.
            samples: Those of a batch.
        """
        new = {
            (record.name, stream): (str(record.split), why)
            for sample in samples
            if sample.missing
            for record in [records[sample.index]]
            for stream, why in sample.missing.items()
            if (record.name, stream) not in self.reasons
        }
        if new:
            # All over again, the lines of many samples would be written many times.
            self._write(new, mode="a" if self.reasons else "w")
            self.reasons.update(new)

    def restore(self, reasons: Mapping[tuple[str, str], tuple[str, str]]) -> None:
        """Take up what a run before found, and forget what is in the file beyond that."""
        self.reasons = dict(reasons)
        self._told = self._counts()
        if self.reasons:
            self._write(self.reasons, mode="w")
        else:
            self.path.unlink(missing_ok=True)

    def tell_new(self, num_samples: Mapping[str, int]) -> None:
        """Say how many samples lack which stream, where that has grown since it was said.

        Args:
            num_samples: Of each split.
        """
        counts = self._counts()
        grown = counts - self._told
        self._told = counts
        for stream in dict.fromkeys(stream for stream, _ in grown):
            lacking = {split: counts[stream, split] for split in _SPLITS if counts[stream, split]}
            told = " and ".join(
                f"{count} of {num_samples[split]} {_SPLITS[split]} samples"
                for split, count in lacking.items()
            )
            verb = "has" if list(lacking.values()) == [1] else "have"
            first = next(why for (_, of), (_, why) in self.reasons.items() if of == stream)
            log(
                f"Note: {told} {verb} no {stream}, masked there; the first: {first} "
                f"All are listed in {self.path}."
            )

    def _counts(self) -> Counter[tuple[str, str]]:
        """Samples by (stream, split)."""
        return Counter((stream, split) for (_, stream), (split, _) in self.reasons.items())

    def _write(self, reasons: Mapping[tuple[str, str], tuple[str, str]], *, mode: str) -> None:
        with self.path.open(mode, encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file)
            if mode == "w":
                writer.writerow(COLUMNS)
            writer.writerows(
                [video, split, stream, why] for (video, stream), (split, why) in reasons.items()
            )
