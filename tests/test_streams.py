"""Text in batches: whose neighbour is whose, and that everything held out is scored once."""

import os
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from jaxnas.rng import key_for
from jaxnas.tasks import ChecksFinal, learnt
from jaxnas.tasks.streams import Passage, TextData
from jaxnas.tasks.text import Text


def data(train=53, held_out=30, unroll=4):
    numbers = lambda count, first: Passage(np.arange(first, first + count, dtype=np.int32))
    return TextData(numbers(train, 0), numbers(held_out, 100), unroll, tuple("abc"), "characters")


def test_a_stream_is_a_part_of_the_text_and_goes_on_from_batch_to_batch():
    """52 predictions in 3 streams of chunks of 4: 17 predictions a stream, one in the last chunk; one is left out."""
    found = data()
    assert found.steps(3) == 5
    assert (found.seen(3), found.left_out(3), learnt(found, 3)) == (51, 1, 51)
    order = found.order(key_for(0, "order"), 3)
    batches = [found.training(order, jnp.int32(number)) for number in range(5)]
    weights = np.concatenate([batch.weights for batch in batches], 1)
    np.testing.assert_array_equal(weights, np.tile(np.arange(20) < 17, (3, 1)))
    streams = np.concatenate([batch.examples for batch in batches], 1)
    np.testing.assert_array_equal(streams[:, :17], np.arange(51).reshape(3, 17))
    for batch in batches:
        np.testing.assert_array_equal(batch.labels, batch.examples + 1)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(2, 99), st.integers(1, 40), st.integers(2, 50))
def test_an_epoch_reads_every_symbol_once_but_fewer_than_one_a_stream(length, size, unroll):
    found = data(train=length, unroll=unroll)
    if length - 1 < size:
        refused(lambda: found.steps(size), f"batch_size={size} streams need at least {size + 1} symbols", f"{length:,}")
        return
    order, counted = found.order(key_for(0, "order"), size), []
    for number in range(found.steps(size)):
        batch = found.training(order, jnp.int32(number))
        assert batch.weights.any()  # no step without anything to learn from
        np.testing.assert_array_equal(batch.labels, batch.examples + 1)
        counted += np.asarray(batch.labels)[np.asarray(batch.weights)].tolist()
    assert sorted(counted) == list(range(1, found.seen(size) + 1))
    assert 0 <= length - 1 - found.seen(size) < size


@pytest.mark.parametrize("size", [1, 3, 4, 7, 29, 40])
def test_every_held_out_prediction_counts_once(size):
    """29 predictions, whatever the number of streams; a stream's chunks are neighbours."""
    found, counted = data(), []
    visits = found.visits(size, len(found.held_out))
    last = None
    for number in range(visits):
        batch = found.scoring(jnp.int32(number), size, jnp.int32(29))
        counted += np.asarray(batch.labels)[np.asarray(batch.weights)].tolist()
        if last is not None:
            assert (np.asarray(batch.examples)[0, 0] == np.asarray(last)[0, -1] + 1) or not batch.weights[0, 0]
        last = batch.examples
    assert sorted(counted) == list(range(101, 130))
    assert found.visits(size, jnp.int32(0)) == 0
    assert not found.scoring(jnp.int32(0), size, jnp.int32(0)).weights.any()


@pytest.mark.parametrize("part", [5, 10, 29, 40])
def test_rows_of_a_passage_are_its_predictions(part):
    """As tables take the test text: parts as long as the validation text, the last one filled up with its last row."""
    passage, pairs = data().held_out, []
    for at in range(0, len(passage), part):
        rows = np.arange(at, at + part)
        some = passage[np.minimum(rows, len(passage) - 1)]
        assert len(some) == part
        count = np.count_nonzero(rows < len(passage))
        pairs += list(zip(some.symbols[:count].tolist(), some.symbols[1:][:count].tolist(), strict=True))
    assert pairs == [(symbol, symbol + 1) for symbol in range(100, 129)]


def test_the_facts_rebuild_children():
    facts = data().facts()
    assert facts["input_shape"] == [4]
    assert facts["classes"] == 3
    assert facts["vocabulary"] == ["a", "b", "c"]


def test_the_share_of_unknown_symbols_is_that_of_the_predictions():
    found = replace(data(), held_out=Passage(np.array([0, 1, 0, 2, 0, 0, 1], np.int32)))
    assert found.unknown == found.facts()["unknown"] == 3 / 6
    assert data().unknown == 0


# The task.

LINES = "".join(f"line {number} of a short text\n" for number in range(60))


@pytest.fixture
def folder(tmp_path):
    """A text in three files, the last of which holds a letter and a word that the others lack."""
    for name, text in (("train", LINES), ("valid", "line 7 of a\n" * 5), ("test", "Zebra of a short text\n")):
        (tmp_path / f"own.{name}.txt").write_text(text)
    return tmp_path


def text_of(found, passage):
    return "".join(found.vocabulary[i] for i in passage.symbols)


def test_one_text_is_learnt_from_validated_on_and_tested_on_in_its_order(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(LINES)
    task = Text(str(path), validation=0.2, test=0.1)
    search, final = task.search_data(0), task.final_data(1)
    train, held_out, test = (
        text_of(d, p) for d, p in ((search, search.train), (search, search.held_out), (final, final.held_out))
    )
    assert train + held_out + test == LINES
    assert text_of(final, final.train) == train + held_out
    assert final.vocabulary == search.vocabulary
    assert abs(len(test) / len(LINES) - 0.1) < 0.01


def test_a_search_does_not_open_the_test_file(folder):
    """Law 8: without it a search has all that it needs, and final training says what is missing."""
    (folder / "own.test.txt").unlink()
    assert len(Text(str(folder)).search_data(0).held_out) == 59
    with pytest.raises(ValueError, match="test"):
        Text(str(folder)).final_data(0)
    with pytest.raises(ValueError, match=r"one text file for test is needed.*ptb\.test\.txt"):
        Text(str(folder)).check_final()
    os.symlink("nowhere", folder / "own.test.txt")  # whoever opens it fails
    Text(str(folder), test=0.0).check_final()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"test": 0.0}, ["test=0 of", "--task.test 0.1", "ptb.test.txt"]),
        ({"test": 1e-9}, ["test=1e-09", "leave none for test"]),
        ({"test": 0.0007}, ["test=0.0007", "is 1 symbol", "--task.test 0.1"]),
        ({"unit": "words", "test": 0.003}, ["is 1 symbol", "2 are needed"]),
    ],
)
def test_whether_there_is_a_test_text_can_be_said_before_the_search(tmp_path, settings, words):
    """`check_final` says no where, and only where, `final_data` would."""
    path = tmp_path / "own.txt"
    path.write_text(LINES)
    task = Text(str(path), **settings)
    assert isinstance(task, ChecksFinal)
    refused(task.check_final, *words)
    with pytest.raises(ValueError, match="symbol|leave none for test"):
        task.final_data(0)
    for good in (Text(str(path)), Text(), Text(str(path), unit="words", test=0.01)):
        good.check_final()
        good.final_data(0)


def test_what_the_training_text_lacks_is_unknown(folder):
    task = Text(str(folder), unit="words")
    final = task.final_data(0)
    words = [final.vocabulary[i] for i in final.held_out.symbols]
    assert words == ["<unk>", "of", "a", "short", "text", "<eos>"]
    assert final.unknown == 0  # of what is predicted: the first word is not
    few = Text(str(folder), unit="words", vocabulary=4).search_data(0)
    assert few.classes == 4
    assert few.unknown == np.mean(["".join(few.vocabulary[i]) == "<unk>" for i in few.held_out.symbols[1:]]) > 0.1
    assert set(few.train.symbols.tolist()) == {0, 1, 2, 3}


def test_a_limit_keeps_the_beginning(folder):
    found = Text(str(folder), limit=20).search_data(0)
    assert text_of(found, found.train) == LINES[:20]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", {}, "the text is empty"),
        (b"aaaaaaaaaaaaaaaaaaaa", {}, "nothing can be predicted"),
        (b"fine \xff\xfe not", {}, "UTF-8"),
        (b"abcabcabcabcabc", {"limit": 2, "validation": 0.05}, "1 symbol is held out, and 2 are needed"),
    ],
)
def test_unusable_texts_are_refused(tmp_path, content, settings, message):
    path = tmp_path / "own.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Text(str(path), **settings).search_data(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unroll": 0}, "unroll=0"),
        ({"vocabulary": 1}, "vocabulary=1"),
        ({"limit": 1}, "limit=1"),
        ({"validation": 0.6, "test": 0.5}, "leave nothing"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Text(**settings)
