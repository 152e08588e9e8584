"""What ``python -m jaxnas compare`` runs where no config is given: the strategies on the shipped table of digits.

The table was made by ``python -m jaxnas tabulate configs/digits_table.py``, whose space this is. A search sees the
accuracy after 3 of the 8 epochs and pays 3/8 of a training for it.
"""

from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.evaluators import Table
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import PPO, Bayes, Evolution, LocalSearch, QLearning, Reinforce

SPACE = ChainCNN(
    layers=3, depths=(2, 3), kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8, 16), pool_after=(1, 2)
)

comparison = Comparison(
    space=SPACE,
    problems={"digits": Problem(Table("digits", score="valid_3", share=3 / 8), budget=8.0)},
    contenders={
        "evolution": Contender(Evolution(population=10, sample=3)),
        "local-search": Contender(LocalSearch()),
        "q-learning": Contender(QLearning(0.1, epsilon=((1.0, 40), (0.5, 40), (0.1, 1)), replay=32, capacity=256)),
        "reinforce-table": Contender(Reinforce(0.03, baseline_decay=0.9, policy="table")),
        "reinforce-lstm": Contender(Reinforce(0.01, baseline_decay=0.9, layers=1)),
        "ppo-lstm": Contender(PPO(0.01, epochs=2, entropy_weight=0.005, layers=1)),
        "bayes": Contender(Bayes()),
    },
    seeds=100,
)
