"""Texts as steps: what is read of a row or a file, and faults with their mend."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cliptide.configs.errors import SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.text import TextStream
from cliptide.datasets.streams.tokens import UNKNOWN, train_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DOCUMENT, COUNT = train_tokenizer([LETTERS + "ΩЖ你ش "], tokens="characters", vocabulary=99)


def stream_of(
    *, window: int = 4, hop: int = 2, most: int = 100, hidden_share: float = 0.3
) -> TextStream:
    return TextStream(
        window=window, hop=hop, tokenizer=DOCUMENT, most=most, hidden_share=hidden_share
    )


def record_of(text: str | None, source: Path = Path("x.csv"), **more: float) -> SampleRecord:
    return SampleRecord(source, f"{source.name}:7", "a", "g", text=text, **more)  # type: ignore[arg-type]


def written(stream: TextStream, record: SampleRecord) -> list[str]:
    with stream.open(record) as track:
        steps = track.steps(range(len(track.pts_s)))
    return [stream.tokenizer.decode(step.tolist()) for step in steps]


def test_steps_are_windows_over_tokens_and_a_tokens_time_is_its_number() -> None:
    stream = stream_of()
    with stream.open(record_of("abcdefg")) as track:
        steps = track.steps([0, 1, 2])
        assert steps.shape == (3, 4)
        assert steps.dtype == stream.row_type == np.int64
        assert track.pts_s.tolist() == [1, 3, 4]
        assert track.duration_s == 7
    assert written(stream, record_of("abcdefg")) == ["abcd", "cdef", "defg"]


def test_a_short_text_is_one_step_with_nothing_behind_it() -> None:
    with stream_of().open(record_of("ab")) as track:
        assert (track.steps([0])[0] == 0).tolist() == [False, False, True, True]


def test_what_is_kept_in_memory_makes_the_same_track() -> None:
    stream = stream_of()
    with stream.open(record_of("abcdefg")) as track:
        times_s, rows = stream.content(track)
        assert rows.shape == (7, *stream.row_shape)
        again = stream.from_content(times_s, rows, track.duration_s)
        assert (again.steps([0, 2]) == track.steps([0, 2])).all()


def test_of_a_long_text_the_beginning_is_read() -> None:
    assert written(stream_of(most=5), record_of(LETTERS)) == ["abcd", "bcde"]


def test_a_part_is_read_by_the_numbers_of_its_tokens() -> None:
    stream = stream_of()
    assert written(stream, record_of(LETTERS, start_s=2, end_s=7)) == ["cdef", "defg"]
    with stream.open(record_of(LETTERS, start_s=2, end_s=7)) as track:
        assert track.pts_s.tolist() == [3, 4]
        assert track.duration_s == 5
    with pytest.raises(SampleError, match=r"no token from 30 to 40: the text has 26. Correct"):
        written(stream, record_of(LETTERS, start_s=30, end_s=40))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_text_file_is_read_with_or_without_a_byte_order_mark(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "a.TXT"
    path.write_text("aΩЖ你", encoding=encoding)
    assert written(stream_of(), record_of(None, path)) == ["aΩЖ你"]


def test_of_a_long_file_the_beginning_is_read_behind_its_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\r\n" * 5_000_000 + b"abcdefgh" * 1_000_000 + b"\xff")
    assert written(stream_of(most=4), record_of(None, path)) == ["abcd"]


@pytest.mark.parametrize("text", ["", " \n\t\u3000"])
def test_a_text_of_nothing_names_its_row(tmp_path: Path, text: str) -> None:
    with pytest.raises(SampleError, match=r"x.csv:7 has no text. Write one there, or take it out"):
        written(stream_of(), record_of(text))
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SampleError, match=r"a.txt:7 has no text"):
        written(stream_of(), record_of(None, path))


def test_a_file_that_cannot_be_read_names_the_cause_and_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(SampleError, match=r"a.txt is not there. Correct the path"):
        written(stream_of(), record_of(None, path))
    path.write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(SampleError, match=r"a.txt is not UTF-8 .*0xfc.*Save it as UTF-8"):
        written(stream_of(), record_of(None, path))
    with pytest.raises(SampleError, match=r"a.mp4 is no text file. Give a .txt file, or a CSV"):
        written(stream_of(), record_of(None, tmp_path / "a.mp4"))


class TestAugmented:
    def test_hides_a_share_of_the_different_tokens_wherever_they_stand(self) -> None:
        steps = np.tile(np.arange(2, 2002), (5, 1))
        changed = stream_of(hidden_share=0.3).augmented(steps, seed=1)
        hidden = changed != steps
        assert (changed[hidden] == UNKNOWN).all()
        assert hidden.mean() == pytest.approx(0.3, abs=0.03)
        assert (hidden == hidden[0]).all()
        assert (steps == np.tile(np.arange(2, 2002), (5, 1))).all()

    def test_the_same_seed_hides_the_same(self) -> None:
        stream, steps = stream_of(), np.arange(2, 352).reshape(50, 7)
        assert (stream.augmented(steps, 3) == stream.augmented(steps, 3)).all()
        assert (stream.augmented(steps, 3) != stream.augmented(steps, 4)).any()

    def test_nothing_stays_nothing(self) -> None:
        assert not stream_of().augmented(np.zeros((200, 7), np.int64), 0).any()


class TestDrawn:
    def draw(self, text: str, *, height: int = 48) -> np.ndarray:
        stream = stream_of(window=4, hop=4)
        with stream.open(record_of(text)) as track:
            return stream.drawn(track.steps(range(len(track.pts_s))), height=height)

    def test_is_a_picture_of_each_step(self) -> None:
        tiles = self.draw("abcdefghij", height=40)
        assert tiles.dtype == np.uint8
        assert tiles.shape[:2] == (3, 40)
        assert tiles.shape[2] >= 40
        assert tiles.shape[3] == 3

    @pytest.mark.parametrize("height", [1, 8, 300])
    def test_is_of_any_height(self, height: int) -> None:
        assert self.draw("abcd", height=height).shape[:2] == (1, height)

    def test_letters_of_many_scripts_are_told_apart(self) -> None:
        """A font without them would draw the same box for each."""
        tiles = [self.draw(letter)[0, :, :48].tobytes() for letter in "aΩЖ你ش"]
        assert len(set(tiles)) == 5

    @pytest.mark.parametrize(
        ("text", "shown_steps", "parts"),
        [
            ("abcdefghijk", (0, 1, 2, 3, 4), ["abc", "de", "fg", "hi", "jk"]),
            ("abcdefghijklmnop", (0, 3, 6), ["abc", "hi", "nop"]),
            ("abcdef", (0,), ["abcd"]),
            ("ab", (0,), ["ab"]),
        ],
    )
    def test_each_token_is_shown_once_with_the_first_and_the_last(
        self, text: str, shown_steps: tuple[int, ...], parts: list[str]
    ) -> None:
        stream = stream_of(window=4, hop=2)
        with stream.open(record_of(text)) as track:
            tiles = stream.shown(track, track.pts_s[list(shown_steps)], height=32)
        encoded = [stream.tokenizer.encode(part, most=4) for part in parts]
        padded = np.stack([np.pad(tokens, (0, 4 - len(tokens))) for tokens in encoded])
        assert (tiles == stream.drawn(padded, height=32)).all()

    def test_letters_shrink_until_all_lines_fit(self) -> None:
        document, _ = train_tokenizer(["eine Zeitverschwendung"], tokens="words", vocabulary=9)
        stream = TextStream(window=9, hop=9, tokenizer=document, most=99)
        text = " ".join(["Zeitverschwendung"] * 9)
        with stream.open(record_of(text)) as track:
            tile = stream.shown(track, track.pts_s, height=120)[0]
        ink = (tile != tile[0, 0]).any(axis=2)
        edges = (ink[:2], ink[-2:], ink[:, :2], ink[:, -2:])
        assert ink.any() and not any(edge.any() for edge in edges)

    def test_a_step_of_nothing_is_empty(self) -> None:
        tile = stream_of().drawn(np.zeros((1, 4), np.int64), height=16)
        assert (tile == tile[0, 0, 0]).all()


def test_it_goes_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(stream_of()))
    assert written(again, record_of("abcd")) == ["abcd"]


def test_reading_imports_no_torch() -> None:
    code = (
        "import sys\nimport cliptide.datasets.streams.text\n"
        "assert not {'torch', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
