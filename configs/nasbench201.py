"""The field's strategies on the tables of NAS-Bench-201, by the protocol of NATS-Bench.

    python -m jaxnas compare configs/nasbench201.py --file nasbench201.csv.gz

About 2 minutes on 2 CPU cores for 500 searches of each strategy on each table; random search ends at 93.86% test
accuracy on CIFAR-10, the best strategy at 94.37%. docs/strategies.md has all results, beside the published ones. The
file is a CSV with a row for each of the 15,625 cells and the columns named below. "reinforce-table" and "rea" are as
published; the settings of the others were chosen on cifar10 alone.
"""

from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.evaluators import Table
from jaxnas.spaces import Cell201
from jaxnas.strategies import PPO, Bayes, Evolution, LocalSearch, QLearning, Reinforce


def problem(data: str, test: str, cost: str, budget: float) -> Problem:
    """12 epochs are the search's score and 12/200 of the long training its cost; 200 epochs are what is reported."""
    columns = {"score": f"{data}_val_12", "valid": f"{data}_val_200", "test": f"{test}_test_200"}
    table = Table("nasbench201.csv.gz", "arch", **columns, seconds=f"train_s_200_{cost}", share=12 / 200, unit=100.0)
    return Problem(table, budget)


NODE_FIRST = (1 / 3, 1 / 6, 1 / 6, 1 / 9, 1 / 9, 1 / 9)
"""NATS-Bench mutates a node and then one of its edges."""
SEARCHED = ((1.0, 40), (0.7, 20), (0.5, 20), (0.3, 20), (0.1, 1))

comparison = Comparison(
    space=Cell201(),
    problems={
        "cifar10": problem("c10valid", "c10", "c10valid", 20_000.0),
        "cifar100": problem("c100", "c100", "c100", 40_000.0),
        "imagenet16": problem("in16", "in16", "in16", 120_000.0),
    },
    contenders={
        "rea": Contender(Evolution(population=10, sample=3, weights=NODE_FIRST)),
        "local-search": Contender(LocalSearch()),
        "q-learning": Contender(QLearning(learning_rate=0.1, epsilon=SEARCHED, replay=32, capacity=256)),
        "reinforce-table": Contender(
            Reinforce(learning_rate=0.01, baseline_decay=0.9, baseline="present", policy="table")
        ),
        "reinforce-lstm": Contender(
            Reinforce(learning_rate=0.015, baseline_decay=0.9, entropy_weight=0.005, layers=1, place_bias=True)
        ),
        "ppo-lstm": Contender(PPO(learning_rate=0.01, epochs=2, entropy_weight=0.005, layers=1)),
        "bayes": Contender(Bayes()),
    },
)
