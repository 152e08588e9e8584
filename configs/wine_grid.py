"""A grid of 4,320 settings of a multilayer perceptron on the wines that ship with scikit-learn, every one trained: a
table on which tuners are judged in seconds.

    python -m jaxnas tabulate configs/wine_grid.py wine.csv.gz --seeds 2 --no-curves

Some minutes on 2 CPU cores; the measure is log loss.
"""

import jaxnas
from jaxnas import Float

experiment = jaxnas.Experiment(
    space=jaxnas.Tuned(
        jaxnas.MLP(layers=(1, 2), widths=(4, 16, 64), activations=("relu", "tanh"), dropout=(0.0, 0.25, 0.5)),
        learning_rate=Float(1e-3, 1.0, log=True, levels=10),
        weight_decay=Float(1e-5, 1e-1, log=True, levels=6),
    ),
    task=jaxnas.Tabular("wine", score="log-loss"),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=100, batch_size=57)),
)
