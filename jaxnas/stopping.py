"""When a search ends before its rounds are over, and how long it has run."""

import time
from typing import Annotated

from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure
from jaxnas.ranges import Range
from jaxnas.settings import settings


@settings
class Stop:
    """Limits, each None for none. They are looked at before a round begins: one that has begun is always finished.

    Attributes:
        minutes: for which the search has run, all its starts together, with reading data and compiling. What a kill
            cuts off after the last group that was recorded is not counted.
        score: which the best trial has reached, as reports show it: an accuracy of at least this, a perplexity (or
            bits a character, or an error) of at most this.
        rounds_without_progress: so many rounds in a row without a new best trial.
    """

    minutes: Annotated[float, Range(0, 1e9, "(]")] | None = None
    score: Annotated[float, Range(-1e9, 1e9)] | None = None
    rounds_without_progress: Annotated[int, Range(1, 10**9)] | None = None

    def check(self, measure: Measure) -> None:
        """Raises ValueError for a score that none of this measure can come to."""
        if self.score is not None and self.score > 1 and (measure.share or measure == Measure.R2):
            raise ValueError(
                f"stop.score={self.score:g}: no {measure} exceeds 1, so that none would come to it: give a share of 1, "
                "as --stop.score 0.97"
            )

    def reason(self, ledger: Ledger, rounds: int) -> str:
        """Why a search that has come to so many whole rounds ends there, in words; "": it goes on."""
        if self == Stop():  # without a look at all trials
            return ""
        ran, best = ledger.facts().get("ran", 0.0) / 60, next(iter(ledger.top(1)), None)
        if self.minutes is not None and ran >= self.minutes:
            return f"it has run for {ran:.3g} minutes (--stop.minutes {self.minutes:g})"
        if self.score is not None and best is not None and _reached(ledger.measure, best.score, self.score):
            figure = ledger.measure.figure(ledger.measure.number(best.score))
            return f"trial {best.trial_id} has come to {figure} (--stop.score {self.score:g})"
        without = rounds if best is None else rounds - 1 - best.round
        if self.rounds_without_progress is not None and without >= self.rounds_without_progress:
            last = f"{without} round{'s' * (without > 1)} brought no better trial"
            return f"the last {last} (--stop.rounds-without-progress {self.rounds_without_progress})"
        return ""


def _reached(measure: Measure, score: float, wanted: float) -> bool:
    """Scores are higher for better; what people read of them may be the other way round."""
    number = measure.number(score)
    return number <= wanted if measure.falls else number >= wanted


class Clock:
    """Seconds for which a search has run, those of earlier starts (fact ``ran``) among them."""

    def __init__(self, ledger: Ledger):
        self._before = ledger.facts().get("ran", 0.0) if len(ledger) else 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began
