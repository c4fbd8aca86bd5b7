"""Film strips and the notebook's pictures of every kind of sample, from untrained networks."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from engines import SIZE, info_of

from cliptide.app.evaluation.report.stored import Strip
from cliptide.app.evaluation.strips import film_strip
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import StepsConfig, Streams
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.tokens import train_tokenizer
from cliptide.datasets.synthetic_arrays import write_sensor_dataset
from cliptide.datasets.synthetic_images import write_image
from cliptide.datasets.synthetic_sound import write_sound, write_sound_and_picture_dataset
from cliptide.models.build import build_recognizer

WORDS = "good never bad but high low from up"
TOKENIZER, NUM_TOKENS = train_tokenizer([WORDS] * 3, tokens="words", vocabulary=50)

Make = Callable[[Path], tuple[Streams, SampleRecord]]


def record_of(source: Path, **changes: Any) -> SampleRecord:
    return SampleRecord(source, source.name, label="a", group="", **changes)


def sound(folder: Path) -> tuple[Streams, SampleRecord]:
    samples = np.sin(np.arange(16000) / 5).astype(np.float32)
    write_sound(folder / "a.wav", samples)
    steps = StepsConfig(window=24, hop=12, mels=32)
    return Streams(("audio",), "audio", steps), record_of(folder / "a.wav")


def arrays(folder: Path) -> tuple[Streams, SampleRecord]:
    path = next(iter(write_sensor_dataset(folder, groups=1, clips_per_group=1)))
    return Streams(("arrays",), "arrays", StepsConfig(), num_values=3), record_of(path)


def text(folder: Path) -> tuple[Streams, SampleRecord]:
    steps = StepsConfig(tokens="words", window=3, hop=1)
    streams = Streams(("text",), "text", steps, tokenizer=TOKENIZER, num_tokens=NUM_TOKENS)
    return streams, record_of(folder / "list.csv", text=WORDS)


def image(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    write_image(folder / "a.png", rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8))
    return folder / "a.png"


def rows(folder: Path) -> tuple[Streams, SampleRecord]:
    steps = StepsConfig(image="rows", window=2, hop=2)
    return Streams(("rows",), "images", steps), record_of(image(folder))


def patches(folder: Path) -> tuple[Streams, SampleRecord]:
    return Streams(("rgb",), "images", StepsConfig(image="patches")), record_of(image(folder))


def whole(folder: Path) -> tuple[Streams, SampleRecord]:
    return Streams(("rgb",), "images"), record_of(image(folder))


def joined(folder: Path) -> tuple[Streams, SampleRecord]:
    path = next(iter(write_sound_and_picture_dataset(folder, groups=1, clips_per_group=1)))
    return Streams(("rgb", "audio"), "video", StepsConfig(mels=32)), record_of(path)


KINDS = [sound, arrays, text, rows, patches, whole, joined]


def recognizer_of(streams: Streams) -> NetworkRecognizer:
    torch.manual_seed(0)
    config = ModelConfig(hidden=8)
    info = info_of(config, streams=streams)
    network = build_recognizer(
        config, num_classes=3, load_weights=False, streams=streams, size=SIZE
    )
    return NetworkRecognizer(network, info, device=torch.device("cpu"))


def strip_of(make: Make, folder: Path) -> Strip:
    streams, record = make(folder)
    strip = film_strip(
        recognizer_of(streams),
        record,
        explain_output=1,
        curves=lambda scores: (scores[:, 1], scores[:, 0]),
    )
    assert strip is not None
    return strip


def pixels(url: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("make", KINDS)
def test_a_strip_shows_the_steps_side_by_side(make: Make, tmp_path: Path) -> None:
    strip = strip_of(make, tmp_path)
    assert pixels(strip.frames).shape == (strip.height, strip.count * strip.width, 3)
    assert len(strip.times_s) == strip.count
    assert strip.height == (240 if make is joined else 120)
    assert 0.5 <= strip.width / 120 <= 2
    assert pixels(strip.frames).std() > 5
    assert strip.explanation is not None
    assert (len(strip.explanation.predicted) == 1) == (make is whole)


@pytest.mark.parametrize("make", KINDS)
def test_grad_cam_lies_on_what_is_drawn_as_it_was_encoded(make: Make, tmp_path: Path) -> None:
    explanation = strip_of(make, tmp_path).explanation
    assert explanation is not None
    assert (explanation.cam is not None) == (make in (sound, whole))


def test_a_text_is_told_in_words_too(tmp_path: Path) -> None:
    assert strip_of(text, tmp_path).text == WORDS
    assert strip_of(sound, tmp_path).text == ""


@pytest.mark.parametrize("make", KINDS)
def test_a_notebook_draws_every_kind(make: Make, tmp_path: Path) -> None:
    streams, record = make(tmp_path)
    prediction = recognizer_of(streams).predict(record)
    page = prediction._repr_html_()
    assert len(re.findall(r"data:image/jpeg;base64,", page)) == (1 if make is whole else 6)
    told = {
        sound: ("1.0 s", "sound, 0."),
        arrays: (" s<", "sequence, 0."),
        text: ("8 tokens", "text, token "),
        rows: ("16 rows", "image, row "),
        patches: ("6 patches", "image, patch 5"),
        whole: (f"{record.name}<", 'alt="image"'),
        joined: (" s<", "video, 0."),
    }[make]
    assert all(words in page for words in told)


def test_a_sample_that_is_gone_leaves_the_bars(tmp_path: Path) -> None:
    streams, record = sound(tmp_path)
    prediction = recognizer_of(streams).predict(record)
    record.source.unlink()
    page = prediction._repr_html_()
    assert "No pictures" in page and page.count("width:180px") == 3


def test_a_stream_that_a_sample_lacks_is_not_drawn(tmp_path: Path) -> None:
    samples = np.zeros(16000, np.float32)
    write_sound(tmp_path / "a.wav", samples)
    streams = Streams(("rgb", "audio"), "video", StepsConfig(mels=32))
    prediction = recognizer_of(streams).predict(record_of(tmp_path / "a.wav"))
    assert "height:96px" in prediction._repr_html_()
