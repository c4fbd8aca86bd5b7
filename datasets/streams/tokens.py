"""From a text to the numbers of its tokens, and how the tokens are learnt.

    characters   every character of the training texts
    words        words, signs and Chinese characters, in small letters
    pieces       bytes, and what often stands together: any text of any language has tokens

Number 0 is where nothing is, number 1 is a token that is not known. A tokenizer is the JSON of
the library `tokenizers` (Hugging Face), so other programs can read it out of a model file.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import ConfigError, DataError, ModelFileError

NOTHING, UNKNOWN = 0, 1
# Names that no token can have, as none holds a space: a text cannot ask for them.
_NAMES = ["< nothing >", "< unknown >"]

# Of a text, so many characters for each wanted token are looked at: pieces are this long at most,
# and no language's words are as long on average.
CHARACTERS_PER_TOKEN = 32
# A long text is learnt from by its beginning, or one text without spaces would take minutes.
LEARNT_CHARACTERS = 20_000
# A word or piece that the training texts hold once says nothing about others.
_LEAST_COUNT = 2
_BYTES = 256

_ANY_CHARACTER = r"(?m:.)"  # in Oniguruma, m lets the point stand for line ends too
_WORDS = r"\p{Han}|[\w&&[^\p{Han}]]+|[^\w\s]"


def train_tokenizer(
    texts: Iterable[str], *, tokens: Literal["characters", "words", "pieces"], vocabulary: int
) -> tuple[str, int]:
    """Learn the tokens of texts; the same texts in any order give the same tokens.

    Pieces are byte pairs (Sennrich et al., "Neural Machine Translation of Rare Words with Subword
    Units", 2016) over bytes (Radford et al., "Language Models are Unsupervised Multitask
    Learners", 2019, section 2.2).

    Args:
        texts: The training texts; the first `LEARNT_CHARACTERS` of each count.
        tokens: What a token is.
        vocabulary: Tokens at most, those for nothing and for the unknown among them.

    Returns:
        The tokenizer as JSON, and how many tokens it has.

    Raises:
        DataError: There is no text.
        ConfigError: The vocabulary is too small for pieces.
    """
    least = len(_NAMES) + _BYTES
    if tokens == "pieces" and vocabulary < least:
        raise ConfigError(
            f"steps.vocabulary is {vocabulary}, and pieces begin with the {_BYTES} bytes. Use "
            f"{least} or more, or set steps.tokens to characters or words."
        )
    beginnings = [text[:LEARNT_CHARACTERS] for text in texts if text.strip()]
    if not beginnings:
        raise DataError("There is no text to learn tokens from. Give texts that are not empty.")
    tokenizer = _LEARN[tokens](_encodable(beginnings), vocabulary)
    document = json.loads(tokenizer.to_str())
    # The library would take these names in a text for the tokens themselves.
    document["added_tokens"] = []
    return json.dumps(document, ensure_ascii=False), tokenizer.get_vocab_size()


def _characters(texts: Iterable[str], vocabulary: int) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    normalizer = normalizers.NFC()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    common = sorted(counts, key=lambda character: (-counts[character], character))
    names = _NAMES + common[: max(0, vocabulary - len(_NAMES))]
    vocab = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=_NAMES[UNKNOWN]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_ANY_CHARACTER), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _words(texts: Iterable[str], vocabulary: int) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel({}, unk_token=_NAMES[UNKNOWN]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True)
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary,
        min_frequency=_LEAST_COUNT,
        special_tokens=_NAMES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _pieces(texts: Iterable[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=_LEAST_COUNT,
        special_tokens=_NAMES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=CHARACTERS_PER_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


_LEARN = {"characters": _characters, "words": _words, "pieces": _pieces}


def _encodable(texts: Iterable[str]) -> Iterator[str]:
    """Replace halves of characters (lone surrogates), which UTF-8 cannot say."""
    return (text.encode("utf-8", "replace").decode("utf-8") for text in texts)


class Tokenizer:
    """Texts to numbers of tokens, and back for people to read.

    Args:
        document: The JSON that `train_tokenizer` gave.

    Raises:
        ModelFileError: It is damaged.
    """

    def __init__(self, document: str) -> None:
        from tokenizers import Tokenizer as Library

        try:
            self._library = Library.from_str(document)
        except Exception as error:  # The library raises no narrower one.
            raise ModelFileError(
                f"The tokenizer in the model file is damaged ({error}). Take an unharmed copy of "
                "the file, or train again."
            ) from error

    def encode(self, text: str, *, most: int) -> NDArray[np.int64]:
        """Number the tokens of a text.

        Args:
            text: Of any length; looked at no further than `CHARACTERS_PER_TOKEN` for each of the
                wanted tokens, behind leading spaces.
            most: Tokens at most.

        Returns:
            (n,) int64, n from 0 to `most`, each 1 or more.
        """
        beginning = text.lstrip()[: most * CHARACTERS_PER_TOKEN]
        encoding = self._library.encode(next(_encodable([beginning])))
        return np.array(encoding.ids[:most], dtype=np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """Write tokens as a text: unknown ones as ?, nothing for 0 and for halves of characters."""
        text: str = self._library.decode([token for token in tokens if token != NOTHING])
        return text.replace(_NAMES[UNKNOWN], "?").replace("\ufffd", "").strip()
