"""Architecture and training in one search: chains of convolutions for handwritten digits, each with a learning rate,
weight decay and label smoothing of its own.

    python -m jaxnas search configs/tune_joint.py --final

A minute on 2 CPU cores for 192 children, all in one program; the measure is validation accuracy.
"""

import jaxnas
from jaxnas import Float

chains = jaxnas.ChainCNN(layers=4, depths=(2, 3, 4), kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(8, 16, 24))
experiment = jaxnas.Experiment(
    space=jaxnas.Tuned(
        chains,
        learning_rate=Float(1e-3, 1.0, log=True, levels=64),
        weight_decay=Float(1e-6, 1e-2, log=True, levels=64),
        label_smoothing=Float(0.0, 0.3, levels=16),
    ),
    task=jaxnas.Digits(),
    strategy=jaxnas.Reinforce(learning_rate=0.02),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=3)),
    final=jaxnas.Final(jaxnas.Train(epochs=30)),
    rounds=24,
    children=8,
)
