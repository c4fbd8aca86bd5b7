"""Files of training and test data that are the same to the byte."""

import os

import pytest

from cliptide.datasets.copies import find_copies
from cliptide.datasets.records import SampleRecord


@pytest.fixture
def record(tmp_path):
    def make(name, split, content=None):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        return SampleRecord(path, name, "a", name, split)

    return make


def test_a_test_file_with_the_bytes_of_a_training_file_is_found(record):
    records = [
        record("a.mp4", "train", b"one"),
        record("b.mp4", "train", b"two"),
        record("c.mp4", "test", b"two"),
        record("d.mp4", "test", b"six"),
        record("e.mp4", "val", b"six"),
        record("f.mp4", "test", b"ten"),
    ]
    assert find_copies(records) == [("b.mp4", "c.mp4"), ("e.mp4", "d.mp4")]


def test_large_files_are_compared_to_their_end(record):
    head = os.urandom(3 << 20)
    records = [record("a.mp4", "train", head + b"x"), record("b.mp4", "test", head + b"y")]
    assert find_copies(records) == []


def test_empty_and_missing_files_are_no_copies(record):
    records = [
        record("a.mp4", "train", b""),
        record("b.mp4", "test", b""),
        record("c.mp4", "train"),
        record("d.mp4", "test"),
    ]
    assert find_copies(records) == []


def test_clips_of_one_file_are_the_business_of_groups(record):
    assert find_copies([record("a.mp4", "train", b"one"), record("a.mp4", "test")]) == []
