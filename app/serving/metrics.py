"""What Prometheus is told."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_CLIPS = (1, 2, 3, 4, 6, 8, 12, 16, 32)


class Metrics:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "cliptide_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "cliptide_request_seconds",
            "From the request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_work = Gauge(
            "cliptide_requests_in_work", "Predictions in work or waiting.", registry=registry
        )
        self.queue_size = Gauge(
            "cliptide_queue_size", "Predictions that are taken at most.", registry=registry
        )
        self.read_seconds = Histogram(
            "cliptide_read_seconds",
            "Reading the clips of a video, waiting for a worker included.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.score_seconds = Histogram(
            "cliptide_score_seconds",
            "Scoring the clips of a video, waiting for the model included.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_clips = Histogram(
            "cliptide_batch_clips",
            "Clips that went through a model together.",
            ["model"],
            buckets=_CLIPS,
            registry=registry,
        )
        self.upload_bytes = Counter(
            "cliptide_upload_bytes", "Bytes of uploads received.", registry=registry
        )
        self.workers = Gauge(
            "cliptide_workers", "Processes that decode and are there.", registry=registry
        )
        self.workers_lost = Counter(
            "cliptide_workers_lost",
            "Processes that decode and were lost: time, memory, crash, left (by the client).",
            ["cause"],
            registry=registry,
        )
        self.streams = Gauge("cliptide_streams", "WebSockets open.", registry=registry)
        self.stream_frames = Counter(
            "cliptide_stream_frames",
            "Frames of WebSockets: taken, dropped (too slow here), skipped (above the rate).",
            ["outcome"],
            registry=registry,
        )

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
