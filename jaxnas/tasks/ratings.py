"""Ratings: what a user will think of an item.

Letters: M ratings, B batch.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Int, Int32

from jaxnas.inputs import Inputs
from jaxnas.outcome import Measure
from jaxnas.ranges import Limit, Part
from jaxnas.rng import key_for
from jaxnas.settings import settings
from jaxnas.tasks import scores
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.rows import Rows
from jaxnas.tasks.scores import Score
from jaxnas.tasks.sheet import RawTable, Sheet, named, of_csv
from jaxnas.tasks.shuffled import Shuffled
from jaxnas.tasks.splits import TEST_SEED, split_freely
from jaxnas.tasks.supervision import Loss, Numbers, Supervised, scored
from jaxnas.tasks.table_files import numbers

SYNTHETIC = "synthetic"
ROUNDING = 1e-5
"""Of a rating that was standardised in float32, a share of the greatest."""
UNKNOWN = 0
"""The number of every user or item that no training row has."""
NAMES = {
    "user": ("user", "userid", "user_id", "reviewerid", "customer", "customerid"),
    "item": ("item", "itemid", "item_id", "movieid", "movie_id", "movie", "productid", "bookid", "asin", "isbn"),
    "rating": ("rating", "ratings", "score", "stars", "overall", "book-rating"),
}
"""What the columns are usually called, in small letters."""
RatingScore = Annotated[
    Literal["rmse", "mae", "r2", "ndcg"] | Callable[..., Any] | None,
    scores.picked(dict.fromkeys(("rmse", "mae", "r2", "ndcg")), "rmse"),
]


@dataclass(frozen=True)
class Ranked(Numbers):
    """Numbers that order items for users; examples are ``[M, 2]``, user and item."""

    named = scores.NUMBERS | {"ndcg": Score(Measure.NDCG, scores.ndcg)}
    default = "rmse"

    def check(self, held_out: Batch, data: Any) -> None:
        """See `Supervision`."""
        if self.score != "ndcg":
            return super().check(held_out, data)
        gains = self.in_units(held_out.labels, data)
        if gains.min() < -1e-3 or gains.max() <= 0:
            raise ValueError(
                f"score='ndcg': held-out ratings from {gains.min():g} to {gains.max():g}: gains from 0 on are needed, "
                "one of them above: shift the ratings, or take score='rmse'"
            )
        return None

    def of(self, outputs, held_out: Batch, data: Any) -> float:
        """See `Supervision`."""
        if self.score != "ndcg":
            return super().of(outputs, held_out, data)
        found, gains = self.in_units(outputs, data), self.in_units(held_out.labels, data)
        users = held_out.examples[:, 0]
        gains = np.where(gains > ROUNDING * np.abs(gains).max(), gains, 0.0)  # or 0 would come back as almost 0
        known = users != UNKNOWN if (gains[users != UNKNOWN] > 0).any() else np.full(len(users), True)
        return scored(scores.ndcg, found[known], gains[known], users[known])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "held_out"],
    meta_fields=["users", "items", "target_mean", "target_std"],
)
@dataclass(frozen=True)
class RatingData(Shuffled):
    """What one training reads.

    Attributes:
        train: what children learn from: user and item by number, 0 for those that no training row has.
        held_out: validation ratings in a search, test ratings in final training.
        users: their names, from number 1 on.
        items: likewise.
        target_mean: of the training ratings.
        target_std: likewise.
    """

    train: Rows
    held_out: Rows
    users: tuple[str, ...]
    items: tuple[str, ...]
    target_mean: float
    target_std: float
    classes = 1

    @property
    def input_shape(self) -> Inputs:
        """(2,): a user of so many and an item of so many, unknown ones among them."""
        return Inputs((2,), "pair", (len(self.users) + 1, len(self.items) + 1))

    @property
    def strangers(self) -> float:
        """Share of the held-out ratings with a user or an item that no training row has."""
        return float((np.asarray(self.held_out.examples) == UNKNOWN).any(1).mean())

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to know of the data; see `jaxnas.tasks.Tells`."""
        known = f"{len(self.users):,} users and {len(self.items):,} items"
        return (f"{known}; {self.strangers:.2%} of the held-out ratings are of others, of whom nothing is known.",)

    def facts(self) -> dict:
        """What tells this data from other, and what a trained network needs of it, as JSON values."""
        return self.input_shape.facts() | {
            "classes": 1,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "users": list(self.users),
            "items": list(self.items),
            "strangers": self.strangers,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
        }

    def batch(self, rows: Rows, weights: Array) -> Batch:
        """Pairs and standardised ratings."""
        return Batch(rows.examples, (rows.labels - self.target_mean) / self.target_std, weights)


@settings
class Ratings(Supervised):
    """The rating that a user gives an item, from the others that both gave and got.

    A user or an item that no training row has is number 0, of whom nothing is known; `facts` of the data say which
    share of the held-out ratings has one ("strangers").

    Attributes:
        source: a CSV file with a heading and a row for each rating; or "synthetic", made up: 6,000 ratings from 1 to 5
            that 200 users of 5 tastes give to 120 items, with noise of deviation 0.5.
        user: the column of users; None: the one that is called so, as "userId".
        item: of items; None: the one that is called so, as "movieId".
        rating: of ratings; None: the one that is called so, as "rating".
        validation: share of the training ratings that a search holds out.
        test: share of the ratings that final training alone reads, the same in every experiment.
        limit: learn from and validate on so many ratings only, drawn from all, the same in every experiment; None: all.
        loss: a JAX function (outputs ``[B]``, labels ``[B]``) -> loss of each ``[B]``, in place of the squared error;
            both are standardised.
        score: "rmse" (None), "mae", "r2", "ndcg" (of the first 10, the mean over users), or a function (outputs
            ``[M]``, labels ``[M]``) of numpy arrays -> a number, higher is better.
    """

    source: str = SYNTHETIC
    user: str | None = None
    item: str | None = None
    rating: str | None = None
    validation: Part = 0.1
    test: Part = 0.1
    limit: Limit | None = None
    loss: Loss = None
    score: RatingScore = None

    @property
    def supervision(self) -> Ranked:
        """Numbers, with these settings."""
        return Ranked(self.loss, self.score)

    def search_data(self, seed: int) -> RatingData:
        """Training and validation ratings, split by ``seed``; of test ratings nothing is learnt.

        Raises:
            ValueError: no such file, or an unusable one; the message says what was found and what is needed.
        """
        sheet, _ = self._parts()
        order = Rows(np.arange(len(sheet)), np.zeros(len(sheet)))
        train, held_out = split_freely(order, self.validation, key_for(seed, "split"), "validation")
        return _data(sheet, sheet[train.examples], sheet[held_out.examples])

    def final_data(self, seed: int) -> RatingData:
        """All training ratings; held out: the test ratings. Raises ValueError as `search_data` does."""
        del seed
        train, test = self._parts()
        return _data(train, train, test)

    def inputs(self, examples: Int[Array, "B 2"], data: RatingData, key=None) -> Int[Array, "B 2"]:
        """User and item by number, as they are."""
        del data, key
        return examples

    def _parts(self) -> tuple[Sheet, Sheet]:
        """Ratings to learn from, and test ratings."""
        sheet = self._read()
        order = Rows(np.arange(len(sheet)), np.zeros(len(sheet)))
        rest, test = split_freely(order, self.test, key_for(TEST_SEED, "test"), "test")
        return sheet[np.sort(rest.examples[: self.limit])], sheet[np.sort(test.examples)]

    def _read(self) -> Sheet:
        """Users, items and ratings."""
        if self.source == SYNTHETIC:
            return _synthetic()
        path = Path(os.path.expanduser(self.source))
        if not path.is_file():
            raise ValueError(
                f"no ratings at {self.source!r}: give a CSV file with a heading such as userId,movieId,rating, or "
                f"{SYNTHETIC!r}, which is made up"
            )
        table = of_csv(path)
        own = {"user": self.user, "item": self.item, "rating": self.rating}
        *pair, rating = (named(role, name, table.names, NAMES[role], path) for role, name in own.items())
        others = [name for name in table.names if name not in (*pair, rating)]
        return _ordered(table.sheet(rating, others, pair), pair)


def _ordered(sheet: Sheet, names: list[str]) -> Sheet:
    """With the columns of users and items in this order, and nothing missing."""
    found = replace(sheet, names=tuple(names), columns=tuple(sheet.columns[sheet.names.index(name)] for name in names))
    for name, column in zip(found.names, found.columns, strict=True):
        missing = np.flatnonzero([cell is None for cell in column.tolist()])
        if len(missing):
            raise ValueError(f"{sheet.where(missing[0])}: {name!r} is missing: leave the row out")
    return found


def _data(known: Sheet, train: Sheet, held_out: Sheet) -> RatingData:
    """Users and items are numbered as they stand in ``known``, all ratings that may be learnt from."""
    users, items = (tuple(sorted(set(column.tolist()))) for column in known.columns)
    ratings, pairs = np.float64(numbers(train)), _pairs(train, users, items)
    asked = _pairs(held_out, users, items)
    for column in (0, 1):
        asked[~np.isin(asked[:, column], pairs[:, column]), column] = UNKNOWN
    parts = Rows(pairs, numbers(train)), Rows(asked, numbers(held_out))
    return RatingData(*parts, users, items, float(ratings.mean()), float(ratings.std()) or 1.0)


def _pairs(sheet: Sheet, users: tuple[str, ...], items: tuple[str, ...]) -> Int32[np.ndarray, "M 2"]:
    found = []
    for column, names in zip(sheet.columns, (users, items), strict=True):
        number = {name: i for i, name in enumerate(names, 1)}
        found.append([number.get(cell, UNKNOWN) for cell in column.tolist()])
    return np.array(found, np.int32).T


def _synthetic() -> Sheet:
    """See `Ratings.source`."""
    draw = np.random.default_rng(1706)
    tastes, users, items = draw.normal(size=(5, 8)), draw.integers(0, 5, 200), draw.normal(size=(120, 8))
    pairs = draw.permutation(200 * 120)[:6000]
    user, item = pairs // 120, pairs % 120
    liked = (tastes[users[user]] * items[item]).sum(1) / np.sqrt(8)
    ratings = np.rint(np.clip(3 + 1.2 * liked + 0.5 * draw.normal(size=6000), 1, 5))
    cells = [[f"user {n}" for n in user], [f"item {n}" for n in item], ratings]
    table = RawTable(("user", "item", "rating"), cells, np.arange(6000), SYNTHETIC, "row")
    return table.sheet("rating", (), ("user", "item"))
