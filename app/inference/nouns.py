"""What samples, their steps and their time are called. Imports nothing heavy.

metrics.json keeps these words, so that a page is built again without the model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cliptide.configs.streams import SAMPLE_NOUNS, SampleKind, Streams, record_noun

SECONDS = "s"


@dataclass(frozen=True)
class Nouns:
    """Nouns in the singular; what was written before there were others is of videos.

    Attributes:
        sample: What one sample is.
        step: What it consists of.
        unit: What its length is counted in: `s` (seconds), `token`, `row` or `patch`; empty of
            what has no length, such as a single image.
    """

    sample: str = "video"
    step: str = "frame"
    unit: str = SECONDS

    @classmethod
    def of_streams(cls, streams: Streams) -> "Nouns":
        """Tell what a model's samples are called."""
        kind = streams.samples
        whole = streams.has_pictures and kind in ("video", "frames")
        unit = SECONDS
        if kind == "text":
            unit = "token"
        elif kind == "images":
            unit = {"rows": "row", "patches": "patch", "whole": ""}[streams.steps.image]
        return cls(SAMPLE_NOUNS[kind], "frame" if whole else "step", unit)

    @classmethod
    def of_samples(cls, samples: SampleKind) -> "Nouns":
        """Tell what a data set's samples are called, whatever is read of them."""
        return cls(SAMPLE_NOUNS[samples])

    @classmethod
    def of_metrics(cls, metrics: Mapping[str, Any]) -> "Nouns":
        """Read what metrics.json holds."""
        return cls(**metrics.get("nouns", {}))

    def to_dict(self) -> dict[str, str]:
        """As metrics.json holds them."""
        return asdict(self)

    @property
    def samples(self) -> str:
        """Several samples."""
        return f"{self.sample}s"

    @property
    def record(self) -> str:
        """What a row of a data set is; see `record_noun`."""
        return record_noun(self.sample)

    @property
    def records(self) -> str:
        """Several rows of a data set."""
        return f"{self.record}s"

    def drawn(self, over: str) -> str:
        """What intervals were drawn over, by the `ci95_over` of metrics.json."""
        return self.records if over == "clips" else over

    @property
    def one(self) -> str:
        """A sample with its article."""
        return f"{'an' if self.sample[0] in 'aeiou' else 'a'} {self.sample}"

    @property
    def steps(self) -> str:
        """Several steps."""
        return f"{self.step}s"

    def counted(self, count: int) -> str:
        """A number of samples."""
        return f"{count} {self.sample if count == 1 else self.samples}"

    @property
    def units(self) -> str:
        """What lengths are counted in, as a heading; empty of what has no length."""
        if self.unit == SECONDS:
            return "seconds"
        return f"{self.unit}{self._ending}" if self.unit else ""

    def length(self, amount: float) -> str:
        """How long a sample is: `2.4 s`, `36 tokens`; empty where it has no length."""
        if not self.unit:
            return ""
        if self.unit == SECONDS:
            return f"{amount:.1f} s"
        return f"{amount:.0f} {self.unit}{'' if round(amount) == 1 else self._ending}"

    def moment(self, at: float) -> str:
        """A moment in a sample: `2.4 s`, `token 36`; empty where it has no length."""
        if self.unit in ("", SECONDS):
            return self.length(at)
        return f"{self.unit} {at:.0f}"

    def span(self, begin: float, end: float) -> str:
        """From one moment to another: `0.0 to 2.4 s`, `tokens 0 to 36`."""
        if not self.unit or begin == end:
            return self.moment(begin)
        if self.unit == SECONDS:
            return f"{begin:.1f} to {end:.1f} s"
        return f"{self.units} {begin:.0f} to {end:.0f}"

    @property
    def slice_unit(self) -> str:
        """What stands behind a length that samples are parted by."""
        return " s" if self.unit == SECONDS else f" {self.units}".rstrip()

    @property
    def _ending(self) -> str:
        return "es" if self.unit == "patch" else "s"
