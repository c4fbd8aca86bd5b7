"""Fixtures that all tests share."""

from collections import namedtuple
from pathlib import Path

import pytest

CommandResult = namedtuple("CommandResult", "code out err")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder `shared` beside the checkout, with real videos and weights; skips without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"the shared data folder is not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """32 clips of up to 8 frames, 8 classes, 4 groups, laid out as UCF101; only to read."""
    from cliptide.datasets.synthetic import write_dataset

    folder = tmp_path_factory.mktemp("small") / "videos"
    for _ in write_dataset(folder, groups=4, clips_per_group=1, num_frames=8, side=32):
        pass
    return folder


@pytest.fixture(scope="session")
def small_run(small_data, tmp_path_factory) -> Path:
    """The folder of a real run of one epoch on `small_data`; only to read."""
    from cliptide.app import train
    from cliptide.configs.schema import DataConfig, ModelConfig, RunConfig
    from cliptide.configs.training import TrainConfig

    config = RunConfig(
        data=DataConfig(frames=4, size=32, augment="none", workers=0, keep="never"),
        model=ModelConfig(width=0.25, hidden=8),
        train=TrainConfig(epochs=1),
        device="cpu",
    )
    return train(small_data, config=config, out=tmp_path_factory.mktemp("run") / "first").out


@pytest.fixture(scope="session")
def small_model(small_run) -> Path:
    """The model file of `small_run`; only to read."""
    return small_run / "model.safetensors"


@pytest.fixture(scope="session")
def small_export(small_model, tmp_path_factory):
    """What `cliptide export` makes of `small_model`; its folder is only to read."""
    from cliptide.app.export.export import export

    return export(small_model, out=tmp_path_factory.mktemp("export") / "onnx")


@pytest.fixture
def cliptide(capsys):
    """Run a command line in this process: its exit code, stdout and stderr."""
    from cliptide.app.cli import main

    def run(*words) -> CommandResult:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return CommandResult(code, *capsys.readouterr())

    return run
