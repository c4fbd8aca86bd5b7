"""Tokens: what they are, that learning them is repeatable, and that no text breaks them."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliptide.configs.errors import ConfigError, DataError, ModelFileError
from cliptide.datasets.streams.tokens import (
    CHARACTERS_PER_TOKEN,
    UNKNOWN,
    Tokenizer,
    train_tokenizer,
)

TEXTS = ["Good, not bad! Grüße 你好 день.", "Bad, not good? Grüße 你好 день."] * 3
KINDS = ("characters", "words", "pieces")
every_kind = pytest.mark.parametrize("tokens", KINDS)


def learn(tokens: str, texts: list[str] = TEXTS, vocabulary: int = 400) -> tuple[Tokenizer, int]:
    document, count = train_tokenizer(texts, tokens=tokens, vocabulary=vocabulary)  # type: ignore[arg-type]
    return Tokenizer(document), count


def tokens_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([number]) for number in tokenizer.encode(text, most=100).tolist()]


LEARNT = {tokens: learn(tokens) for tokens in KINDS}


def test_characters_are_all_there_and_others_unknown() -> None:
    tokenizer, count = LEARNT["characters"]
    assert count == 2 + len(set("".join(TEXTS)))
    text = "Good 你好"
    assert tokenizer.decode(tokenizer.encode(text, most=99).tolist()) == text
    assert tokens_of(tokenizer, "daß") == ["d", "a", "ß"]
    assert tokens_of(tokenizer, "dΩ") == ["d", "?"]


def test_the_rarest_characters_are_left_out_first() -> None:
    tokenizer, count = learn("characters", ["aaabbc"], vocabulary=4)
    assert count == 4
    assert tokenizer.encode("abc", most=9).tolist() == [2, 3, UNKNOWN]


def test_words_are_words_and_signs_in_small_letters() -> None:
    tokenizer, _ = LEARNT["words"]
    assert tokens_of(tokenizer, "GOOD,bad! 你好день") == [
        "good",
        ",",
        "bad",
        "!",
        "你",
        "好",
        "день",
    ]
    assert tokens_of(tokenizer, "\uff47\uff4f\uff4f\uff44 unseen") == [
        "good",
        "?",
    ]  # wide letters (NFKC)


def test_a_word_that_came_once_is_unknown() -> None:
    tokenizer, count = learn("words", ["often often once"])
    assert count == 3
    assert tokens_of(tokenizer, "often once") == ["often", "?"]


def test_pieces_know_every_text_and_shorten_what_is_common() -> None:
    tokenizer, _ = LEARNT["pieces"]
    for text in ("Good, not bad!", "हिन्दी 한국어 😀 \x00\t~", "\uff57\uff49"):
        numbers = tokenizer.encode(text, most=500)
        assert UNKNOWN not in numbers
        assert tokenizer.decode(numbers.tolist()) == text
    assert len(tokenizer.encode("Good, Grüße", most=99)) < 5
    assert len(tokenizer.encode("Good, eßürG", most=99)) > 8


@every_kind
@settings(deadline=None, max_examples=50)
@given(text=st.text(), most=st.integers(1, 20))
def test_any_text_gives_numbers_within_the_vocabulary(tokens: str, text: str, most: int) -> None:
    tokenizer, count = LEARNT[tokens]
    numbers = tokenizer.encode(text, most=most)
    assert numbers.dtype == np.int64
    assert len(numbers) <= most
    assert ((numbers > 0) & (numbers < count)).all()


@every_kind
def test_half_a_character_is_read_as_unknown_and_breaks_nothing(tokens: str) -> None:
    tokenizer, _ = learn(tokens, [*TEXTS, "\ud800"])
    assert len(tokenizer.encode("a\ud800b", most=9)) >= 1


@every_kind
def test_a_text_cannot_ask_for_the_number_of_nothing(tokens: str) -> None:
    """Its name is known from the file, and a library would look for it in texts."""
    document, _ = train_tokenizer(TEXTS, tokens=tokens, vocabulary=400)  # type: ignore[arg-type]
    names = json.loads(document)["model"]["vocab"]
    nothing = next(name for name, number in names.items() if number == 0)
    again, _ = learn(tokens, [nothing, f"Good{nothing}"] * 50)
    for tokenizer in (Tokenizer(document), again):
        assert 0 not in tokenizer.encode(f"Good {nothing} bad{nothing}", most=99)


@every_kind
def test_the_beginning_of_a_long_text_gives_the_tokens_of_the_whole(tokens: str) -> None:
    tokenizer, _ = LEARNT[tokens]
    text = "  " + " ".join(TEXTS * 20)
    every = tokenizer.encode(text, most=10_000)
    for most in (1, 7, 50):
        assert tokenizer.encode(text, most=most).tolist() == every[:most].tolist()


@every_kind
@pytest.mark.parametrize("part", ["word ", "a", "你好"])
def test_ten_million_characters_take_no_time(tokens: str, part: str) -> None:
    tokenizer, _ = LEARNT[tokens]
    text = part * (10_000_000 // len(part))
    begun = time.perf_counter()
    assert 1 <= len(tokenizer.encode(text, most=400)) <= 400
    learn(tokens, [text, *TEXTS])
    assert time.perf_counter() - begun < 5


def test_no_piece_is_longer_than_what_is_looked_at_for_one() -> None:
    tokenizer, count = learn("pieces", ["=" * 5000] * 9, vocabulary=2000)
    longest = max(len(tokenizer.decode([number])) for number in range(2, count))
    assert longest <= CHARACTERS_PER_TOKEN


def test_other_orders_threads_and_processes_learn_the_same() -> None:
    code = (
        "import hashlib, random, sys\n"
        "from cliptide.datasets.streams.tokens import train_tokenizer\n"
        "draw = random.Random(0)\n"
        "texts = [' '.join(f'w{draw.randrange(400)}' for _ in range(20)) for _ in range(300)]\n"
        "random.Random(int(sys.argv[1])).shuffle(texts)\n"
        "for tokens in ('characters', 'words', 'pieces'):\n"
        "    found = train_tokenizer(texts, tokens=tokens, vocabulary=300)\n"
        "    print(found[1], hashlib.sha256(found[0].encode()).hexdigest())\n"
    )
    said = set()
    for seed in ("1", "4"):
        run = subprocess.run(
            [sys.executable, "-c", code, seed],
            env=os.environ | {"RAYON_NUM_THREADS": seed, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(run.stdout)
    assert len(said) == 1


def test_what_cannot_be_learnt_or_read_is_named_with_its_mend() -> None:
    with pytest.raises(DataError, match=r"no text to learn tokens from[.] Give texts"):
        train_tokenizer([" ", ""], tokens="words", vocabulary=10)
    with pytest.raises(ConfigError, match=r"steps.vocabulary is 100.*Use 258 or more"):
        train_tokenizer(TEXTS, tokens="pieces", vocabulary=100)
    with pytest.raises(ModelFileError, match="tokenizer in the model file is damaged"):
        Tokenizer("{}")
