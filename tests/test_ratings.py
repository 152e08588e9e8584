"""Ratings and texts with classes: what is read, numbered and scored, and what is said of mistakes."""

import numpy as np
import pytest
from refusals import refused
from sklearn.metrics import ndcg_score

from jaxnas.fingerprint import of_data
from jaxnas.outcome import Measure
from jaxnas.tasks import Batch, Ratings, TextClassification

LINES = [f"u{u},{m},{(u * m) % 5 + 1},99" for u in range(8) for m in range(6)]


def write(tmp_path, heading="userId,movieId,rating,timestamp", lines=LINES):
    (tmp_path / "set.csv").write_text("\n".join((heading, *lines)))
    return str(tmp_path / "set.csv")


def test_a_file_of_the_usual_form(tmp_path):
    """Names of users and items are texts, also where they are numbers; each rating is where it belongs."""
    data = Ratings(write(tmp_path)).final_data(0)
    assert data.users == tuple(f"u{u}" for u in range(8))
    assert data.items == tuple(map(str, range(6)))
    assert (data.input_shape.kind, data.input_shape.values, data.classes) == ("pair", (9, 7), 1)
    known = {tuple(line.split(",")[:2]): float(line.split(",")[2]) for line in LINES}
    for part in (data.train, data.held_out):
        for (user, item), rating in zip(part.examples.tolist(), part.labels.tolist(), strict=True):
            assert known[data.users[user - 1], data.items[item - 1]] == rating
    assert len(data.train) + len(data.held_out) == len(LINES)


def test_who_is_in_no_training_row_is_a_stranger(tmp_path):
    lines = [*LINES, *(f"once {n},0,3,99" for n in range(40))]
    data = Ratings(write(tmp_path, lines=lines), test=0.5).final_data(0)
    strangers = (data.held_out.examples == 0).any(1)
    assert 0.2 < strangers.mean() == data.facts()["strangers"] < 0.8
    assert data.train.examples.min() == 1


def test_test_ratings_are_the_same_for_every_seed():
    task = Ratings()
    assert of_data(task.final_data(0)) == of_data(task.final_data(3))
    search, final = task.search_data(0), task.final_data(0)
    rows = lambda data, *parts: {
        (data.users[u - 1], data.items[i - 1]) for part in parts for u, i in part.examples.tolist() if u and i
    }
    assert rows(search, search.train, search.held_out) <= rows(final, final.train)
    assert not rows(final, final.held_out) & rows(final, final.train)


def test_users_items_and_symbols_have_the_same_numbers_in_a_search_and_after_it(tmp_path):
    """What nobody learns from in a search is a stranger there."""
    task = Ratings(limit=300)
    search, final = task.search_data(0), task.final_data(0)
    assert (search.users, search.items) == (final.users, final.items)
    assert len(search.train) + len(search.held_out) == len(final.train) == 300
    for column in (0, 1):
        learnt, asked = (set(part.examples[:, column].tolist()) for part in (search.train, search.held_out))
        assert asked - {0} <= learnt
    texts = TextClassification(limit=200)
    search, final = texts.search_data(0), texts.final_data(0)
    assert search.vocabulary == final.vocabulary
    assert set(search.held_out.examples.ravel().tolist()) - {1} <= set(search.train.examples.ravel().tolist())
    assert (search.held_out.examples == 1).any()


def test_a_limit_draws_from_all_ratings():
    """A file is often sorted by user."""
    every, some = Ratings().final_data(0), Ratings(limit=1000).final_data(0)
    assert len(some.users) > 0.95 * len(every.users)


def test_ratings_of_nothing_and_of_strangers_do_not_count_in_ndcg():
    """Ratings 0 and 1, which standardising and back would leave a little above 0."""
    task = Ratings(score="ndcg")
    users, gains = (
        np.repeat([0, 1, 2, 3], 5),
        np.array([[1, 0, 0, 1, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0]]),
    )
    said = np.random.default_rng(3).normal(size=20)
    data = task.search_data(0)
    standard = lambda values: (np.float32(values) - np.float32(data.target_mean)) / np.float32(data.target_std)
    examples = np.stack([users, np.ones(20, np.int64)], 1)
    held = Batch(examples, standard(gains.ravel()), np.ones(20, bool))
    each = [ndcg_score([gains[u]], [said[users == u]], k=10) for u in (2, 3)]
    assert task.whole_score(standard(said)[:, None], held, data) == pytest.approx(np.mean(each), abs=1e-6)


def test_ndcg_is_the_mean_over_users():
    task = Ratings(score="ndcg")
    data = task.search_data(0)
    held = data.scoring(0, len(data.held_out), len(data.held_out))
    said, users = np.random.default_rng(0).normal(size=(len(data.held_out), 1)), np.asarray(held.examples)[:, 0]
    each = [
        ndcg_score([data.held_out.labels[users == u]], [said[users == u, 0]], k=10) if (users == u).sum() > 1 else 1.0
        for u in np.unique(users)
    ]
    assert task.whole_score(said, held, data) == pytest.approx(np.mean(each), abs=1e-6)
    assert (task.measure, Ratings().measure) == (Measure.NDCG, Measure.RMSE)


def test_a_mistake_in_ratings_is_named(tmp_path):
    read = lambda *given, **settings: lambda: Ratings(write(tmp_path, *given), **settings).search_data(0)
    refused(read("a,b,c,d"), "no columns may be the user", "--task.user NAME")
    refused(read(user="who"), "user='who': no column")
    refused(read("user,item,rating,score"), "2 columns may be the rating")
    lines = [*LINES, ",3,4,99"]
    refused(lambda: Ratings(write(tmp_path, lines=lines)).search_data(0), "line 50: 'userId' is missing")
    refused(lambda: Ratings(write(tmp_path, lines=[*LINES, "u1,3,good,9"])).search_data(0), "'good' among numbers")
    refused(lambda: Ratings("none.csv").search_data(0), "no ratings at 'none.csv'", "'synthetic'")
    task = Ratings(write(tmp_path, lines=[line.replace(",1,99", ",-1,99") for line in LINES]), score="ndcg")
    data = task.search_data(0)
    held = data.scoring(0, len(data.held_out), len(data.held_out))
    low = held._replace(labels=np.asarray(held.labels) - 5)
    refused(lambda: task.check_score(low, data), "score='ndcg'", "gains from 0 on")


# Texts


TEXTS = [
    f'"{word} it is, a {word} thing",{label}' for word, label in (("good", "nice"), ("bad", "nasty")) for _ in range(10)
]


def test_texts_become_symbols(tmp_path):
    file = write(tmp_path, "review,label", TEXTS)
    data = TextClassification(file, length=8).final_data(0)
    assert (data.class_names, data.vocabulary[:2]) == (("nasty", "nice"), ("<fill>", "<unk>"))
    words = [[data.vocabulary[n] for n in row] for row in data.train.examples.tolist()]
    labels = [data.class_names[n] for n in data.train.labels.tolist()]
    assert {(tuple(text), label) for text, label in zip(words, labels, strict=True)} == {
        ((word, "it", "is", "a", word, "thing", "<fill>", "<fill>"), label)
        for word, label in (("good", "nice"), ("bad", "nasty"))
    }
    few = TextClassification(file, length=3, unit="characters", vocabulary=5).final_data(0)
    assert (few.input_shape.values, few.train.examples.shape[1]) == ((5,), 3)
    assert (few.train.examples == 1).any()


def test_speeches_of_two_plays():
    data = TextClassification().final_data(0)
    assert data.class_names == ("Coriolanus", "Richard III")
    assert len(data.train) + len(data.held_out) == 2081
    assert not {"coriolanus", "gloucester"} & {data.vocabulary[n] for n in data.train.examples[:, 0].tolist()[:1]}
    search = TextClassification().search_data(0)
    assert len(search.train) + len(search.held_out) == len(data.train)


def test_a_mistake_in_texts_is_named(tmp_path):
    refused(lambda: TextClassification("none.csv").search_data(0), "no texts at 'none.csv'")
    refused(
        lambda: TextClassification(write(tmp_path, "words,label", TEXTS)).search_data(0), "no columns may be the text"
    )
    same = [text.replace(",nasty", ",nice") for text in TEXTS]
    refused(lambda: TextClassification(write(tmp_path, "text,label", same)).search_data(0), "in all 20 rows")
