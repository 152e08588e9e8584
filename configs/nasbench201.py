"""The field's strategies on the tables of NAS-Bench-201, by the protocol of NATS-Bench.

    python -m jaxnas compare configs/nasbench201.py --file nasbench201.csv.gz

The file is a CSV with a row for each of the 15,625 cells and the columns named below; docs/strategies.md says where
such tables come from and holds the results, beside the published ones.
"""

from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.evaluators import Table
from jaxnas.spaces import Cell201
from jaxnas.strategies import PPO, Reinforce


def problem(data: str, cost: str, budget: float, test: str = "") -> Problem:
    """12 epochs are the search's score and 12/200 of the long training its cost; 200 epochs are what is reported."""
    columns = {"score": f"{data}_val_12", "valid": f"{data}_val_200", "test": test or f"{data}_test_200"}
    table = Table("nasbench201.csv.gz", "arch", **columns, seconds=f"train_s_200_{cost}", share=12 / 200, unit=100.0)
    return Problem(table, budget)


comparison = Comparison(
    space=Cell201(),
    problems={
        "cifar10": problem("c10valid", "c10valid", 20_000, test="c10_test_200"),
        "cifar100": problem("c100", "c100", 40_000),
        "imagenet16": problem("in16", "in16", 120_000),
    },
    contenders={
        "reinforce-table": Contender(
            Reinforce(learning_rate=0.01, baseline_decay=0.9, baseline="present", policy="table")
        ),
        "reinforce-lstm": Contender(Reinforce(learning_rate=0.01, baseline_decay=0.9, layers=1)),
        "ppo-lstm": Contender(PPO(learning_rate=0.01, layers=1)),
    },
)
