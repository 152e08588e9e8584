"""Tuners on the shipped table of 4,320 settings of a perceptron on breast cancers.

    pip install "jaxnas[optuna]"
    python -m jaxnas compare configs/tuners.py

Two minutes on 2 CPU cores, 20 searches of each: after 10 seconds' worth of trainings the tuner by Q-learning ends at a
test log loss of 0.068, random search at 0.077, and their spread over seeds is as large as that between most strategies.
docs/tuning.md has all results. The table was made by `python -m jaxnas tabulate configs/tuning_grid.py`, whose space
this is; a search sees the log loss of one training, and what is reported are means of two.
"""

import jaxnas
from jaxnas import Float
from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.evaluators import Table
from jaxnas.strategies import PPO, Bayes, Evolution, LocalSearch, Optuna, QTuner, Reinforce

comparison = Comparison(
    space=jaxnas.Tuned(
        jaxnas.MLP(layers=(1, 2), widths=(4, 16, 64), activations=("relu", "tanh"), dropout=(0.0, 0.25, 0.5)),
        learning_rate=Float(1e-4, 0.3, log=True, levels=10),
        weight_decay=Float(1e-5, 1e-1, log=True, levels=6),
    ),
    problems={"cancer": Problem(Table("tuning", score="valid_s0", measure="log loss"), budget=10.0)},
    contenders={
        "q-tuner": Contender(QTuner(), children=10),
        "q-tuner-no-replay": Contender(QTuner(replay=0), children=10),
        "reinforce-lstm": Contender(Reinforce(0.02, baseline_decay=0.7), children=10),
        "reinforce-table": Contender(Reinforce(0.1, baseline_decay=0.7, policy="table"), children=10),
        "ppo-lstm": Contender(PPO(0.01, baseline_decay=0.7), children=10),
        "bayes": Contender(Bayes(), children=10),
        "evolution": Contender(Evolution(population=20, sample=5), children=10),
        "local-search": Contender(LocalSearch(), children=10),
        "optuna-tpe": Contender(Optuna(), children=10),
    },
    seeds=20,
)
