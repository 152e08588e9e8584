"""Vocabularies: which symbols they hold, in which order, and text as numbers and back."""

import itertools
import time
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from jaxnas.tasks import corpus
from jaxnas.tasks.vocabulary import Vocabulary


def test_symbols_are_ordered_by_frequency_then_by_code_point():
    assert Vocabulary.of("bbzaacc!ccé", "characters").symbols == ("<unk>", "c", "a", "b", "!", "z", "é")
    words = ["the", "<unk>", "N", "<eos>", "the", "cat", "<eos>", "the", "<unk>", "sat", "<eos>"]
    assert Vocabulary.of(words, "words").symbols == ("<unk>", "<eos>", "the", "N", "cat", "sat")
    for order in itertools.permutations("abca"):
        assert Vocabulary.of("".join(order), "characters").symbols == ("<unk>", "a", "b", "c")


def test_a_vocabulary_keeps_the_most_frequent_and_the_rest_is_unk():
    text = "aaaa bbb cc d".replace(" ", "")
    for size in (2, 3, 4, 5, 6, None):
        vocabulary = Vocabulary.of(text, "characters", size)
        assert vocabulary.symbols == ("<unk>", *"abcd")[:size]
        assert vocabulary.encode("abcdé").tolist() == [i if i < len(vocabulary) else 0 for i in (1, 2, 3, 4, 5)]
    words = Vocabulary.of(text.replace("", " ").split(), "words", 3)
    assert words.encode(["b", "new", "<unk>", "a"]).tolist() == [2, 0, 0, 1]


@settings(deadline=None, derandomize=True)
@given(st.text(min_size=2).filter(lambda text: len(set(text)) > 1))
def test_characters_come_back_as_they_were(text):
    vocabulary = Vocabulary.of(text, "characters")
    numbers = vocabulary.encode(text)
    assert (numbers.dtype, len(numbers)) == (np.int32, len(text))
    assert numbers.min() > 0
    assert vocabulary.decode(numbers) == text


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["a", "b", "<eos>", "<unk>", "ø"])).filter(lambda words: len(set(words)) > 1))
def test_words_come_back_with_their_lines(words):
    vocabulary = Vocabulary.of(words, "words")
    text = vocabulary.decode(vocabulary.encode(words))
    assert corpus.split(text + "\n" * (words[-1] != "<eos>"), "words") == words + ["<eos>"] * (words[-1] != "<eos>")


def test_lines_are_written_without_blanks_at_their_ends():
    words = ["<eos>", "no", "it", "<eos>", "<eos>", "was", "n't", "<eos>"]
    vocabulary = Vocabulary.of(words, "words")
    assert vocabulary.decode(vocabulary.encode(words)) == "\nno it\n\nwas n't\n"
    assert vocabulary.decode(np.array([0, 2], np.int32)) == "<unk> it"


def test_a_million_characters_are_encoded_in_well_below_a_second():
    text = corpus.read("shakespeare", "characters", "train", 0.0, 0.0) * 4
    vocabulary = Vocabulary.of(text, "characters")
    start = time.process_time()
    numbers = vocabulary.encode(text)
    assert time.process_time() - start < 0.5
    assert numbers.tolist() == [vocabulary.symbols.index(c) for c in text[:1000]] + numbers[1000:].tolist()


def test_vocabularies_in_which_nothing_can_be_predicted_are_refused():
    remedy = "nothing can be predicted: give a text with at least two different ones"
    refused(lambda: Vocabulary.of("aaaa", "characters"), "a text of the symbols ['a'] alone", remedy)
    refused(lambda: Vocabulary.of("", "characters"), "a text of the symbols [] alone", remedy)
    refused(lambda: Vocabulary.of(["<unk>"] * 3, "words"), "symbols ['<unk>'] alone", remedy)
    refused(lambda: Vocabulary.of("ab", "characters", 1), "size 1", "at least 2", "None for all")


def test_symbols_and_numbers_that_are_no_vocabulary_are_refused():
    refused(lambda: Vocabulary(("a", "b"), "words"), "symbols ['a', 'b']", "give '<unk>'")
    refused(lambda: Vocabulary(("<unk>", "b", "b"), "words"), "each once")
    refused(lambda: Vocabulary.of(["no", "it"], "characters"), "no single characters", "unit='words'")
    for number in (-1, 3):
        decode = partial(Vocabulary.of("ab", "characters").decode, np.array([0, number]))
        refused(decode, f"number {number}: there are symbols 0 to 2")
