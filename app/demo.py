"""`cliptide demo`: make videos, train on them, evaluate, predict, and say where the report is."""

import time
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from cliptide.app.evaluation.run_folder import claim_run_folder
from cliptide.app.inference.loading import load
from cliptide.app.inference.terminal import format_seconds, log, result_console, track
from cliptide.app.results import percent, show_training
from cliptide.app.training.run import TrainingResult
from cliptide.app.training.train import train
from cliptide.configs.schema import DataConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset, write_new_video

GROUPS = 14
CLIPS_PER_GROUP = 4
NEW_VIDEO = "rise"


def demo_config(*, seed: int) -> RunConfig:
    """The recurrent model of the demo: small enough for two CPU cores and three minutes."""
    return RunConfig(
        # Mirroring would turn clockwise into anticlockwise.
        data=DataConfig(frames=12, size="48", augment="light", flip=False),
        model=ModelConfig(encoder="tiny", width=0.5, temporal="gru", hidden=64, summary="last"),
        train=TrainConfig(epochs=16, batch_size=16, lr=2e-3),
        seed=seed,
    )


def run_demo(
    *, out: Path | None = None, overwrite: bool = False, seed: int = 0
) -> dict[str, TrainingResult]:
    """Run the demo.

    Args:
        out: Folder to write to; `runs/demo-<n>` by default.
        overwrite: Whether the runs of an earlier demo in `out` may be replaced.
        seed: Of videos and training.

    Returns:
        The results of the recurrent model (`gru`) and of the baseline (`mean-pool`).
    """
    began = time.perf_counter()
    out = claim_run_folder("demo", out=out, overwrite=overwrite)
    videos = out / "videos"
    log(
        "Eight actions in four pairs, each the other played backwards (rise and fall, open and "
        "close, ...): only a model that follows the order of frames can tell a pair apart."
    )
    written = write_dataset(videos, groups=GROUPS, clips_per_group=CLIPS_PER_GROUP, seed=seed)
    total = GROUPS * CLIPS_PER_GROUP * len(CLASS_NAMES)
    for _ in track(written, total=total, what="Writing videos", unit="videos"):
        pass
    config = demo_config(seed=seed)
    baseline = replace(config, model=replace(config.model, temporal="none", summary="mean"))
    log("\n1. The recurrent model: CNN for each frame, GRU over time")
    recurrent = train(videos, config=config, out=out / "gru", overwrite=overwrite)
    log("\n2. The baseline: the same CNN, mean over the frames, blind to their order")
    mean_pool = train(videos, config=baseline, out=out / "mean-pool", overwrite=overwrite)
    new = out / "new-video.mp4"
    write_new_video(new, NEW_VIDEO, seed=seed + 1)
    prediction = load(recurrent.model).predict(new)

    show_training(recurrent)
    table = Table(title="Does it use time?", title_justify="left", title_style="bold")
    table.add_column("model")
    table.add_column("top-1", justify="right")
    table.add_row("CNN and GRU", percent(recurrent.metrics["top1"]), style="bold")
    table.add_row("CNN and mean over frames", percent(mean_pool.metrics["top1"]))
    console = result_console()
    console.print(table)
    others = ", ".join(f"{name} {percent(score)}" for name, score in prediction.top(3)[1:])
    console.print(
        f"A new video, which shows {NEW_VIDEO!r}: the model says {prediction.label!r} "
        f"with {percent(prediction.score)} ({others})",
        markup=False,
    )
    print(f"Try it: cliptide predict {recurrent.model} {new}")
    print(f"The whole demo took {format_seconds(time.perf_counter() - began)}.")
    return {"gru": recurrent, "mean-pool": mean_pool}
