"""Evaluation by looking up: a tabular benchmark in place of training.

Letters: N children, T decisions.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int

from jaxnas.fingerprint import digest
from jaxnas.outcome import Outcome, Progress, Status, Trial
from jaxnas.ranges import Range
from jaxnas.settings import settings
from jaxnas.tables import Records, records

Factor = Annotated[float, Range(0, 1e9, "(]")]


@settings
class Table:
    """A file with one row for each architecture: CSV, plain or gzipped, or .npz.

    Attributes:
        file: where it lies; "digits" or "tuning": one that comes with the library.
        architecture: the column of architectures. "tokens": numbers with blanks between; any other name: text that the
            space's ``parse`` understands.
        score: the column that a search sees; an empty cell is a child that failed.
        valid: the column of the final validation score; "": the score's.
        test: the column of the final test score; "": the validation score's. No search sees it.
        seconds: the column of what a trial costs.
        share: what the column of seconds is multiplied by: 12/200 for 12 of 200 epochs.
        unit: what the scores are divided by, so that they lie in [0, 1]: 100 where the file has percent.
        measure: what the scores are, a `jaxnas.outcome.Measure`: "score", shares of 1; "perplexity" or "bits a
            character", log-probabilities in nats, shown so; "RMSE", "MAE" or "log loss", minus these; ...; "": what the
            file beside the table says, or log-probabilities where none is above 0.
    """

    file: str = "digits"
    architecture: str = "tokens"
    score: str = "valid_1"
    valid: str = "valid"
    test: str = "test"
    seconds: str = "seconds"
    share: Factor = 1.0
    unit: Factor = 1.0
    measure: Literal[
        "", "score", "F1", "AUC", "NDCG@10", "R2", "log loss", "RMSE", "MAE", "perplexity", "bits a character", "number"
    ] = ""

    def read(self, space) -> Records:
        """The table's rows. Raises ValueError where the file is missing, malformed or of another space."""
        valid = self.valid or self.score
        columns = {"architecture": self.architecture, "score": self.score, "valid": valid}
        columns |= {"test": self.test or valid, "seconds": self.seconds}
        return records(space, self.file, columns, self.unit, self.share, self.measure)

    def bind(self, space, task, seed: int, trials: int) -> "TableEvaluator":
        """Read the file; task, seed and trials are not used."""
        del task, seed, trials
        return TableEvaluator(self.read(space), self)


class TableEvaluator:
    """The function that `Table.bind` gives."""

    def __init__(self, known: Records, table: Table):
        self.records, self.table, self.measure = known, table, known.measure

    def __call__(
        self,
        tokens: Int[np.ndarray, "N T"],
        trial_ids: Int[np.ndarray, " N"],
        finished: Mapping[int, Trial] | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[tuple[list[int], Outcome]]:
        """Look up those that are not finished, all at once.

        Raises:
            ValueError: an architecture that the table does not hold.
        """
        rows = [row for row, trial in enumerate(trial_ids) if int(trial) not in (finished or {})]
        if rows:
            yield rows, self._outcome([self._row(tokens[row]) for row in rows])

    def fingerprint(self) -> dict[str, str]:
        """That of the table's rows."""
        known = self.records
        return {"table": digest((known.tokens, known.score, known.valid, known.test, known.seconds))}

    def about(self) -> dict:
        """Nothing more is said of a table."""
        return {}

    def describe(self, tokens: Int[np.ndarray, " T"]) -> dict:
        """The architecture as the table writes it."""
        return self._described(self._row(tokens))

    def _row(self, tokens: Int[np.ndarray, " T"]) -> int:
        row = self.records.row_of.get(tuple(tokens.tolist()))
        if row is None:
            raise ValueError(
                f"{self.table.file} has no row for tokens {tokens.tolist()}: it holds {len(self.records.tokens):,} "
                "architectures, and a search needs all of its space"
            )
        return row

    def _outcome(self, at: list[int]) -> Outcome:
        known, score = self.records, self.records.score[at]
        return Outcome(
            status=np.where(np.isnan(score), Status.DIVERGED, Status.OK).astype(np.int32),
            score=score,
            curve=score[:, None],
            seconds=known.seconds[at],
            places=np.ones(len(at), np.int64),
            parameters=self._cost("parameters", at),
            multiply_adds=self._cost("multiply_adds", at),
            architectures=tuple(map(self._described, at)),
        )

    def _described(self, row: int) -> dict:
        final = self.records.valid[row]
        about = {"type": "table", "arch": self.records.architectures[row], "column": self.table.score}
        return about if np.isnan(final) or not self.table.valid else about | {"final": float(final)}

    def _cost(self, name: str, at: list[int]) -> Int[np.ndarray, " N"]:
        """From the table; 0, which no network costs, where it does not say."""
        known = self.records.costs.get(name)
        return np.zeros(len(at), np.int64) if known is None else known[at]
