"""Limits that end a search before its rounds are over: at the end of a round, recorded, and to be changed later."""

import math
from dataclasses import replace

import pytest
from quick import Quick, experiment
from refusals import refused
from test_search import rows, run

from jaxnas import report
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure
from jaxnas.record import check_settings, is_finished, why_finished
from jaxnas.stopping import Stop

RISING = Quick(lambda tokens, trial: float(trial))


def stopped(directory) -> dict | None:
    return Ledger(directory).facts()["stopped"]


def test_the_best_score_ends_a_search_after_its_round_and_a_raised_limit_goes_on(tmp_path):
    run(experiment(RISING), tmp_path / "whole")
    limited = experiment(RISING, stop=Stop(score=5.0))
    run(limited, tmp_path / "a")
    assert rows(tmp_path / "a") == rows(tmp_path / "whole")[:8]  # trial 5 is in the second round
    assert stopped(tmp_path / "a") == {"rounds": 2, "reason": "trial 7 has come to 7 (--stop.score 5)"}
    ledger = Ledger(tmp_path / "a", write=True)
    assert is_finished(limited, ledger)
    assert "It stopped after 2 rounds: trial 7 has come to 7" in report.summary(ledger, tmp_path)
    raised = replace(limited, stop=Stop(score=11.0))
    check_settings(raised, ledger)
    assert not is_finished(raised, ledger)
    run(raised, tmp_path / "a")
    assert (len(rows(tmp_path / "a")), stopped(tmp_path / "a")["rounds"]) == (12, 3)
    run(experiment(RISING), tmp_path / "a")
    assert rows(tmp_path / "a") == rows(tmp_path / "whole")
    assert stopped(tmp_path / "a") is None
    assert why_finished(experiment(RISING), Ledger(tmp_path / "a")).startswith("all rounds are done")
    assert "It stopped" not in report.summary(Ledger(tmp_path / "a"), tmp_path)


def test_a_lowered_limit_ends_it_where_it_is(tmp_path):
    run(experiment(RISING, rounds=3), tmp_path)
    lowered = experiment(RISING, stop=Stop(score=1.0))
    why = "trial 11 has come to 11 (--stop.score 1). Another limit continues it"
    assert why_finished(lowered, Ledger(tmp_path)) == why
    run(lowered, tmp_path)
    assert (len(rows(tmp_path)), stopped(tmp_path)["rounds"]) == (12, 3)


def test_a_round_that_has_begun_is_finished(tmp_path):
    """As after a kill: the limit is reached in the part that is there."""
    limited = experiment(RISING, stop=Stop(score=1.0))
    run(limited, tmp_path / "whole")
    (tmp_path / "part").mkdir()
    part, whole = Ledger(tmp_path / "part", write=True), Ledger(tmp_path / "whole")
    part.record(**{key: value for key, value in whole.facts().items() if key not in ("finished", "stopped")})
    part.append(whole.trials()[:2])
    assert not is_finished(limited, part)
    run(limited, tmp_path / "part")
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "part")) == 4


@pytest.mark.parametrize(
    ("measure", "wanted", "trials"),
    [
        (Measure.SCORE, 0.5, 4),
        (Measure.NUMBER, -0.9, 4),
        (Measure.PERPLEXITY, math.exp(2.5), 8),
        (Measure.BITS, 2.5 / math.log(2), 8),
        (Measure.PERPLEXITY, 1.0, 20),
    ],
)
def test_a_score_is_what_people_read(tmp_path, measure, wanted, trials):
    """In nats after four trials -3, after eight -2; as a share after one 0.5."""
    nats = lambda tokens, trial: min(-4 + (trial + 1) / 4, -0.1)
    shares = lambda tokens, trial: 0.5 + trial / 100
    run(experiment(Quick(nats if measure.logarithmic else shares, measure), stop=Stop(score=wanted)), tmp_path)
    assert len(rows(tmp_path)) == trials


@pytest.mark.parametrize("measure", Measure)
def test_a_score_that_none_can_come_to_is_refused(tmp_path, measure):
    """By what each says of itself: 97 of a share that was meant in percent."""
    bounded = measure.share or measure == Measure.R2
    own = experiment(Quick(lambda tokens, trial: -1.0, measure), stop=Stop(score=97.0), rounds=1)
    if bounded:
        refused(lambda: run(own, tmp_path), f"stop.score=97: no {measure} exceeds 1", "--stop.score 0.97")
        assert len(Ledger(tmp_path)) == 0
        own = replace(own, stop=Stop(score=1.0))
    run(own, tmp_path)


def test_rounds_without_progress(tmp_path):
    """The best comes in the second round; equal ones later are no progress, nor are failures."""
    scores = Quick(lambda tokens, trial: 1.0 if trial >= 5 else 0.5)
    run(experiment(scores, rounds=9, stop=Stop(rounds_without_progress=3)), tmp_path / "a")
    assert stopped(tmp_path / "a") == {
        "rounds": 5, "reason": "the last 3 rounds brought no better trial (--stop.rounds-without-progress 3)",
    }  # fmt: skip
    run(experiment(Quick(lambda tokens, trial: None), stop=Stop(rounds_without_progress=2)), tmp_path / "b")
    assert len(rows(tmp_path / "b")) == 8


def test_minutes_are_those_of_all_starts(tmp_path, monkeypatch):
    """Each trial takes a minute, and so does reading data."""
    now = [1000.0]
    monkeypatch.setattr("jaxnas.stopping.time.monotonic", lambda: now[0])

    def score(tokens, trial):
        now[0] += 60
        return float(trial)

    limited = experiment(Quick(score), stop=Stop(minutes=4.5))
    run(replace(limited, rounds=1), tmp_path)
    assert Ledger(tmp_path).facts()["ran"] == 240
    now[0] += 1e6  # between two starts
    run(limited, tmp_path)
    assert Ledger(tmp_path).facts()["ran"] == 480
    assert stopped(tmp_path) == {"rounds": 2, "reason": "it has run for 8 minutes (--stop.minutes 4.5)"}
    assert is_finished(limited, Ledger(tmp_path))
    assert not is_finished(replace(limited, stop=Stop(minutes=8.5)), Ledger(tmp_path))
