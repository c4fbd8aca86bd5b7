"""What a run reads: its clips, decoded or encoded, while it trains and after it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from cliptide.app.evaluation.baselines import MOST_CLIPS
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log, track
from cliptide.app.training.encoding import EncodedStore, encode_clips, encoder_stays
from cliptide.configs.schema import RunConfig
from cliptide.configs.sizes import parse_size
from cliptide.configs.streams import Streams
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.clips import ClipDataset, Sample
from cliptide.datasets.encoded import EncodedClip, EncodedDataset
from cliptide.datasets.kept import SHARE_OF_FREE_MEMORY, KeptRows, free_memory_bytes
from cliptide.datasets.lengths import clip_lengths
from cliptide.datasets.loaders import make_loader, scoring_worker_count, worker_count
from cliptide.datasets.processes import worker_context
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.splits import SplitPlan, require_split
from cliptide.datasets.streams.build import build_streams, flow_folder
from cliptide.datasets.streams.flow_cache import bytes_in, precompute
from cliptide.datasets.streams.stream import Stream
from cliptide.models.recognizer import Recognizer


class RunData:
    """The clips of one run and the loaders that read them.

    Args:
        config: How clips are taken.
        catalog: The data set as it lies on disk.
        plan: Its clips and their splits.
        device: Where the network computes.
        precision: Lightning's name for the number format.
        streams: What samples consist of.
        store: Features of a frozen encoder, shared with other runs.

    Attributes:
        train_records: The training clips.
        val_records: The validation clips.
        test_records: The test clips.
        workers: Processes that read training clips.
        encoded_s: Seconds spent on encoding every frame once; 0 where that was not done.

    Raises:
        SplitError: A split has no clip.
    """

    def __init__(
        self,
        config: RunConfig,
        catalog: Catalog,
        plan: SplitPlan,
        *,
        device: torch.device,
        precision: Any,
        streams: Streams,
        store: EncodedStore,
    ) -> None:
        self.config, self.catalog, self.device = config, catalog, device
        self.described, self.nouns = streams, Nouns.of_streams(streams)
        self.precision, self.store = precision, store
        self.size = parse_size(config.data.size)
        self.rule = SamplingRule(
            config.data.sampling,
            streams.clip_steps(config.data.frames),
            config.data.rate_fps,
            config.data.stride,
        )
        where = str(catalog.root)
        self.train_records = require_split(plan.records, "train", where=where)
        self.val_records = require_split(plan.records, "val", where=where)
        self.test_records = require_split(plan.records, "test", where=where)
        self.workers = worker_count(config.data.workers, num_samples=len(self.train_records))
        self.encoded_s = 0.0
        self._encoded: tuple[list[EncodedClip], list[EncodedClip]] | None = None

    @contextmanager
    def loaders(
        self, network: Recognizer
    ) -> Iterator[tuple[DataLoader[Sample], DataLoader[Sample]]]:
        """What the training and the validation clips are read by, while training lasts."""
        self._keep_flow()
        self._encoded = self._encoded_clips(network)
        if self._encoded is not None:
            train, val = self._datasets(
                EncodedDataset, *({"clips": clips} for clips in self._encoded)
            )
            yield self._loader(train, training=True, workers=0), self._loader(val, workers=0)
            return
        with self._kept_clips() as kept:
            train, val = self._datasets(ClipDataset, *({"kept": store} for store in kept))
            fewer = min(self.workers, worker_count("auto", num_samples=len(self.val_records)))
            yield (
                self._loader(train, training=True, workers=self.workers),
                self._loader(val, workers=fewer),
            )

    def plain_loaders(self) -> tuple[DataLoader[Sample], DataLoader[Sample]]:
        """One view of each training clip, of so many at most, and of each validation clip."""
        drawn = np.random.default_rng(self.config.seed).permutation(len(self.train_records))
        few = sorted(int(place) for place in drawn[:MOST_CLIPS])
        train = tuple(self.train_records[place] for place in few)
        if self._encoded is None:
            datasets = [
                self._dataset(ClipDataset, records) for records in (train, self.val_records)
            ]
            train_loader, val_loader = (self._loader(d, workers=self.workers) for d in datasets)
            return train_loader, val_loader
        clips = [self._encoded[0][place] for place in few]
        return (
            self._loader(self._dataset(EncodedDataset, train, clips=clips), workers=0),
            self._loader(
                self._dataset(EncodedDataset, self.val_records, clips=self._encoded[1]), workers=0
            ),
        )

    def _keep_flow(self) -> None:
        """Compute the flow of all videos once, where it is wanted."""
        if "flow" not in self.described.names:
            return
        folder = flow_folder(self.described.steps)
        if folder is None:
            return
        records = [*self.train_records, *self.val_records, *self.test_records]
        total = len({record.source for record in records})
        done = precompute(
            records,
            size=self.size,
            fit=self.config.data.fit,
            method=self.described.steps.flow,
            folder=folder,
            workers=scoring_worker_count(self.config.data.workers, num_samples=total),
        )
        items = list(track(done, total=total, what="Optical flow", unit=self.nouns.samples))
        kept = [item for item in items if item.num_bytes]
        if kept:
            log(
                f"Optical flow of {self.nouns.counted(len(kept))} lies in {folder} "
                f"({sum(item.num_bytes for item in kept) / 2**20:.0f} MiB of "
                f"{bytes_in(folder) / 2**20:.0f} MiB there, which may be deleted at any time); "
                "--steps.flow_cache names another folder"
            )
        failed = [item for item in items if item.error]
        if failed:
            log(f"Note: no flow of {self.nouns.counted(len(failed))}. The first: {failed[0].error}")

    def _encoded_clips(
        self, network: Recognizer
    ) -> tuple[list[EncodedClip], list[EncodedClip]] | None:
        """Features of all training and validation clips, where the encoder stays as it is."""
        if not encoder_stays(self.config, network):
            return None
        began, count = time.perf_counter(), len(self.train_records)
        clips = encode_clips(
            network.to(self.device),
            [*self.train_records, *self.val_records],
            num_mirrored=count if self.config.data.flip else 0,
            config=self.config,
            precision=self.precision,
            workers=self.workers,
            store=self.store,
        )
        self.encoded_s = time.perf_counter() - began
        return None if clips is None else (clips[:count], clips[count:])

    def _datasets(
        self, kind: type[ClipDataset], of_train: dict[str, Any], of_val: dict[str, Any]
    ) -> list[ClipDataset]:
        return [
            self._dataset(kind, self.train_records, training=True, **of_train),
            self._dataset(kind, self.val_records, **of_val),
        ]

    def _dataset(
        self,
        kind: type[ClipDataset],
        records: Sequence[SampleRecord],
        *,
        training: bool = False,
        **options: Any,
    ) -> ClipDataset:
        return kind(
            records,
            class_names=self.catalog.class_names,
            rule=self.rule,
            streams=self._streams(training=training),
            training=training,
            seed=self.config.seed,
            task=self.catalog.task,
            **options,
        )

    def _streams(self, *, training: bool) -> tuple[Stream, ...]:
        data = self.config.data
        return build_streams(
            self.described,
            size=self.size,
            fit=data.fit,
            augment=data.augment if training else None,
            flip=data.flip,
        )

    def _loader(
        self, dataset: ClipDataset, *, workers: int, training: bool = False
    ) -> DataLoader[Sample]:
        return make_loader(
            dataset,
            batch_size=self.config.train.batch_size,
            workers=workers,
            shuffle=training,
            pin_memory=self.device.type == "cuda",
            lengths=self._lengths() if training and self.config.data.bucket else None,
        )

    def _lengths(self) -> list[int]:
        """Frames of each training clip, for bucketing."""
        lengths = clip_lengths(
            self.train_records,
            self._streams(training=False),
            rule=self.rule,
            workers=self.workers,
        )
        total = len(self.train_records)
        found = list(track(lengths, total=total, what="Measuring lengths", unit=self.nouns.records))
        if len(set(found)) == 1:
            log(
                f"Note: every training {self.nouns.record} has as many {self.nouns.steps}: "
                "data.bucket changes nothing."
            )
        return found

    @contextmanager
    def _kept_clips(self) -> Iterator[tuple[list[KeptRows], list[KeptRows]]]:
        """Memory for decoded training and validation clips while training lasts."""
        if self.config.data.keep == "never":
            yield [], []
            return
        budget = free_memory_bytes() * SHARE_OF_FREE_MEMORY
        sizes = [len(self.train_records), len(self.val_records)]
        with ExitStack() as stack:
            kept: list[list[KeptRows]] = []
            for size, training in zip(sizes, (True, False), strict=True):
                streams = self._streams(training=training)
                stores = [
                    KeptRows(
                        size,
                        row_shape=stream.row_shape,
                        row_type=stream.row_type,
                        budget_bytes=int(budget * size / sum(sizes) / len(streams)),
                        context=worker_context(),
                    )
                    for stream in streams
                ]
                for store in stores:
                    stack.callback(store.close)
                kept.append(stores)
            yield kept[0], kept[1]
