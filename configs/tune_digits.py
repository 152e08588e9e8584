"""The training of one convolutional network on handwritten digits: optimiser, learning rate, weight decay, momentum,
batch size and label smoothing, of which some exist for one optimiser alone.

    python -m jaxnas search configs/tune_digits.py --final

Half a minute on 2 CPU cores for 100 settings; the measure is validation accuracy. Batch size and optimiser need a
program each; all else is traced.
"""

import jaxnas
from jaxnas import Categorical, Float

network = jaxnas.ChainCNN(layers=3, depths=(3,), kernel_heights=(3,), kernel_widths=(3,), filters=(16,))
space = jaxnas.Tuned(
    network,
    optimiser=Categorical("sgd", "adam"),
    batch_size=Categorical(32, 128),
    learning_rate=Float(1e-4, 1.0, log=True, levels=64),
    weight_decay=Float(1e-6, 1e-1, log=True, levels=64),
    momentum=Float(0.0, 0.98, levels=50, when=("optimiser", "sgd")),
    beta1=Float(0.5, 0.98, levels=25, when=("optimiser", "adam")),
    label_smoothing=Float(0.0, 0.3, levels=16),
)
experiment = jaxnas.Experiment(
    space=space,
    task=jaxnas.Digits(),
    strategy=jaxnas.QTuner(),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=3)),
    final=jaxnas.Final(jaxnas.Train(epochs=30)),
    rounds=10,
    children=10,
)
