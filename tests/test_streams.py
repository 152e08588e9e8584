"""Text in batches: whose neighbour is whose, and that everything held out is scored once."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.rng import key_for
from jaxnas.tasks.streams import Passage, TextData
from jaxnas.tasks.text import Text


def data(train=53, held_out=30, unroll=4):
    numbers = lambda count, first: Passage(np.arange(first, first + count, dtype=np.int32))
    return TextData(numbers(train, 0), numbers(held_out, 100), unroll, tuple("abc"), "characters")


def test_a_stream_is_a_part_of_the_text_and_goes_on_from_batch_to_batch():
    """52 predictions in 3 streams of chunks of 4: 4 whole chunks a stream, 48 predictions; 4 are left out."""
    found = data()
    assert found.steps(3) == 4
    assert found.seen(3) == 48
    order = found.order(key_for(0, "order"), 3)
    batches = [found.training(order, jnp.int32(number)) for number in range(4)]
    streams = np.concatenate([batch.examples for batch in batches], 1)
    np.testing.assert_array_equal(streams, np.arange(48).reshape(3, 16))
    for batch in batches:
        np.testing.assert_array_equal(batch.labels, batch.examples + 1)
        assert batch.weights.all()


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


def test_chunks_longer_than_the_text_are_refused():
    with pytest.raises(ValueError, match="batch_size=3 .* unroll=40 symbols need 121 symbols, but only 53"):
        data(unroll=40).steps(3)


def test_the_facts_rebuild_children():
    facts = data().facts()
    assert facts["input_shape"] == [4]
    assert facts["classes"] == 3
    assert facts["vocabulary"] == ["a", "b", "c"]


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


def test_what_the_training_text_lacks_is_unknown(folder):
    task = Text(str(folder), unit="words")
    final = task.final_data(0)
    words = [final.vocabulary[i] for i in final.held_out.symbols]
    assert words == ["<unk>", "of", "a", "short", "text", "<eos>"]
    few = Text(str(folder), unit="words", vocabulary=4).search_data(0)
    assert few.classes == 4
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
