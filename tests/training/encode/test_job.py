"""Encoding with an encoder whose vectors are known: letters counted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.tables import DataError
from training.encode.contents import Passage, UnreadableContentError
from training.encode.encoders import EncoderError
from training.encode.folder import VectorCache, open_cache
from training.encode.job import encode_contents


class LetterCounts:
    """[number of a, number of b]; remembers the batches that it was given."""

    def __init__(self, fingerprint: str = "letters") -> None:
        self.fingerprint = fingerprint
        self.batches: list[list[str]] = []

    def encode(self, contents: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(list(contents))
        return np.array([[text.count("a"), text.count("b")] for text in contents], np.float32)


class Torn(Passage):
    def open(self) -> str:
        raise UnreadableContentError("torn.txt (no end)")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    with open_cache(tmp_path / "cache") as opened:
        yield opened


def texts(*words: str) -> list[Passage]:
    return [Passage(word) for word in words]


def test_every_item_gets_the_vector_of_its_content(cache: VectorCache) -> None:
    contents = [*texts("ab", "a", "bbb"), None, *texts("aa")]
    encoded = encode_contents(contents, LetterCounts(), cache, batch_size=2)
    vectors = [None if key is None else cache[key].tolist() for key in encoded.key_I]
    assert vectors == [[1, 1], [1, 0], [0, 3], None, [2, 0]]
    assert encoded.num_new == 4
    assert encoded.unreadable == []


def test_batches_are_of_like_size_and_equal_contents_are_encoded_once(cache: VectorCache) -> None:
    encoder = LetterCounts()
    encode_contents(texts("a", "bbbb", "a", "bb", "aaa"), encoder, cache, batch_size=2)
    assert encoder.batches == [["bbbb", "aaa"], ["bb", "a"]]


def test_only_what_changed_is_encoded_again(cache: VectorCache) -> None:
    encode_contents(texts("a", "b"), LetterCounts(), cache, batch_size=8)
    encoder = LetterCounts()
    encoded = encode_contents(texts("b", "ab", "a"), encoder, cache, batch_size=8)
    assert encoder.batches == [["ab"]]
    assert encoded.num_new == 1
    assert [cache[key].tolist() for key in encoded.key_I if key] == [[0, 1], [1, 1], [1, 0]]


def test_another_encoder_shares_no_vectors(cache: VectorCache) -> None:
    encode_contents(texts("a"), LetterCounts(), cache, batch_size=8)
    other = LetterCounts("other letters")
    encode_contents(texts("a"), other, cache, batch_size=8)
    assert other.batches == [["a"]]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    class Killed(LetterCounts):
        def encode(self, contents: Sequence[str]) -> NDArray[np.float32]:
            if self.batches:
                raise KeyboardInterrupt
            return super().encode(contents)

    contents = texts("aaa", "bb", "a")
    with pytest.raises(KeyboardInterrupt), open_cache(tmp_path / "cache") as cache:
        encode_contents(contents, Killed(), cache, batch_size=1)
    encoder = LetterCounts()
    with open_cache(tmp_path / "cache") as cache:
        encode_contents(contents, encoder, cache, batch_size=1)
    assert encoder.batches == [["bb"], ["a"]]


def test_what_cannot_be_opened_is_missing_and_named(cache: VectorCache) -> None:
    contents = [Torn("aa"), *texts("a")]
    encoded = encode_contents(contents, LetterCounts(), cache, batch_size=1)
    assert encoded.key_I[0] is None
    assert encoded.key_I[1] is not None
    assert encoded.num_new == 1
    assert encoded.unreadable == ["torn.txt (no end)"]


def test_vectors_that_are_not_numbers_are_refused(cache: VectorCache) -> None:
    class Broken(LetterCounts):
        def encode(self, contents: Sequence[str]) -> NDArray[np.float32]:
            return super().encode(contents) / np.float32(np.nan)

    with pytest.raises(EncoderError, match="NaN"):
        encode_contents(texts("a"), Broken(), cache, batch_size=1)
    assert encode_contents(texts("a"), LetterCounts(), cache, batch_size=1).num_new == 1


def test_a_damaged_cache_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("this is no database, " * 100)
    with pytest.raises(DataError, match="delete it"), open_cache(tmp_path / "cache"):
        pass
