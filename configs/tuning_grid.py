"""A grid of 4,320 settings of a multilayer perceptron on the breast cancers that ship with scikit-learn, every one
trained: a table on which tuners are judged in seconds.

    python -m jaxnas tabulate configs/tuning_grid.py tuning.csv.gz --seeds 2 --no-curves

About 4 minutes on 2 CPU cores; the measure is log loss, 0.055 at best (mean of two trainings). The result comes with
the library, as the table "tuning".
"""

import jaxnas
from jaxnas import Float

experiment = jaxnas.Experiment(
    space=jaxnas.Tuned(
        jaxnas.MLP(layers=(1, 2), widths=(4, 16, 64), activations=("relu", "tanh"), dropout=(0.0, 0.25, 0.5)),
        learning_rate=Float(1e-4, 0.3, log=True, levels=10),
        weight_decay=Float(1e-5, 1e-1, log=True, levels=6),
    ),
    task=jaxnas.Tabular("breast-cancer", score="log-loss"),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=40, batch_size=52)),
)
