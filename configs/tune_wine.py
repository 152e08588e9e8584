"""Widths, depth, dropout, activation, learning rate and weight decay of a multilayer perceptron on the wines that ship
with scikit-learn: architecture and training in one search, all settings in one program.

    python -m jaxnas search configs/tune_wine.py --final

Half a minute on 2 CPU cores for 200 settings, 100 epochs each. The score is the log loss of the held-out wines, of
which there are 28: their accuracy is 1 for many settings, and says nothing about which of these is best.
"""

import jaxnas
from jaxnas import Float

space = jaxnas.Tuned(
    jaxnas.MLP(layers=(1, 2, 3), widths=(4, 8, 16, 32, 64), activations=("relu", "tanh", "gelu")),
    learning_rate=Float(1e-3, 1.0, log=True, levels=64),
    weight_decay=Float(1e-6, 1e-1, log=True, levels=64),
)
experiment = jaxnas.Experiment(
    space=space,
    task=jaxnas.Tabular("wine", score="log-loss"),
    strategy=jaxnas.QTuner(),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=100, batch_size=57)),
    final=jaxnas.Final(jaxnas.Train(epochs=100, batch_size=57), seeds=3),
    rounds=20,
    children=10,
)
