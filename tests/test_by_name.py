"""A strategy, a reward or an optimiser of the library by its name on the command line."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from refusals import refused
from test_search import CONFIG, EXPERIMENT

from jaxnas import by_name, overrides, setup
from jaxnas.evaluators import Adam
from jaxnas.experiment import describe, differences
from jaxnas.overrides import override
from jaxnas.rewards import REWARDS, Perplexity
from jaxnas.strategies import STRATEGIES, Evolution, Random
from jaxnas.tasks import Text


def given(*arguments, experiment=EXPERIMENT):
    return override(experiment, list(arguments), Path("mine.py"))


def test_every_one_of_the_library_goes_by_its_name():
    for name, strategy in STRATEGIES.items():
        assert given("--strategy", name) == replace(EXPERIMENT, strategy=strategy())
    for name in REWARDS.keys() - {"Perplexity"}:  # which does not go with accuracies
        assert given(f"--reward={name}") == replace(EXPERIMENT, reward=REWARDS[name]())
    refused(lambda: given("--reward", "Perplexity"), "reward Perplexity reads log-probabilities")


def test_settings_of_it_in_any_order_and_nothing_of_the_config_s_own():
    evolved = replace(EXPERIMENT, strategy=Evolution(population=16))
    assert given("--strategy", "Evolution", "--strategy.population", "16") == evolved
    assert given("--strategy.population=16", "--rounds", "3", "--strategy=Evolution") == evolved
    small = replace(EXPERIMENT, strategy=Evolution(population=10, sample=2))
    assert given("--strategy", "Evolution", experiment=small).strategy == Evolution()
    refused(lambda: given("--strategy", "Evolution", "--strategy.units", "5"), "unknown setting --strategy.units")


def test_it_is_checked_with_all_that_is_typed():
    """A perplexity is of text alone."""
    refused(lambda: given("--reward", "Perplexity"), "reward Perplexity reads log-probabilities")
    text = replace(EXPERIMENT, task=Text())
    found = given("--reward.c", "40", "--reward", "Perplexity", experiment=text)
    assert found.reward == Perplexity(c=40.0)


def test_optimisers_of_the_search_and_of_final_training():
    adam = given("--evaluator.train.optimiser", "Adam", "--final.train.optimiser=Adam")
    assert adam.evaluator.train.optimiser == adam.final.train.optimiser == Adam()
    slow = given("--final.train.optimiser", "Adam", "--final.train.optimiser.learning-rate", "0.5")
    assert slow.final.train.optimiser == Adam(learning_rate=0.5)
    assert slow.evaluator == EXPERIMENT.evaluator


def test_a_name_that_is_none_gets_one_line():
    every = ", ".join(STRATEGIES)
    refused(lambda: given("--strategy", "randm"), f"--strategy randm: did you mean Random? There are {every}")
    refused(lambda: given("--strategy", "--rounds", "3"), f"--strategy without a name: There are {every}")
    refused(lambda: given("--reward=Wumpus"), "--reward Wumpus: There are Accuracy, CubedAccuracy, Perplexity")
    refused(lambda: given("--space", "ChainCNN"), "unknown setting --space")


def test_help_lists_its_settings(capsys):
    with pytest.raises(SystemExit):
        given("--strategy", "Evolution", "--help")
    assert "--strategy.population" in capsys.readouterr().out


def test_what_is_recorded_is_what_was_typed(tmp_path):
    (tmp_path / "mine.py").write_text(CONFIG)
    typed = ["--strategy", "Random", "--strategy.no-repeats"]
    experiment, source = setup.load(tmp_path / "mine.py", typed)
    assert experiment.strategy == Random(repeats=False)
    again = setup.restore(source, tmp_path / "mine.py", [*typed, "--final.train.optimiser", "Adam"])
    assert differences(describe(experiment), describe(again)) == []
    other = setup.restore(source, tmp_path / "mine.py", [])
    assert "strategy.type: Random there, Reinforce now" in differences(describe(experiment), describe(other))


@dataclass(frozen=True)
class Own(Random):
    """Of a user, with an annotation that says nothing here."""

    few: "Nowhere" = (1, 2)  # noqa: F821


def test_of_a_class_whose_annotations_cannot_be_read_no_setting_has_a_name():
    """Nor is one of it taken for a list; tyro says what it makes of such a class."""
    own = replace(EXPERIMENT, strategy=Own())
    assert by_name.replaced(own, ["--strategy.few", "3", "--rounds", "2"]) == (
        own,
        ["--strategy.few", "3", "--rounds", "2"],
    )
    assert overrides._spread(own, ["--strategy.few", "3,4"]) == ["--strategy.few", "3,4"]
    assert by_name.replaced(own, ["--strategy", "Random"])[0].strategy == Random()


def test_numbers_in_what_is_said_are_whole(monkeypatch):
    """However narrow the terminal is, which keeps its width."""
    monkeypatch.setenv("COLUMNS", "40")
    refused(lambda: given("--rounds", "0"), "rounds=0: give a whole number from 1 to 1,000,000,000")
    refused(lambda: given("--evaluator.group-size", "0"), "from 1 to 10,000, or None")
    assert os.environ["COLUMNS"] == "40"
    monkeypatch.delenv("COLUMNS")
    refused(lambda: given("--rounds", "0"), "1,000,000,000")
    assert "COLUMNS" not in os.environ
