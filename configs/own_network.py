"""A network of your own: its width, depth and dropout, and its learning rate, searched together on handwritten digits.

    python -m jaxnas search configs/own_network.py --final

About half a minute on 2 CPU cores for 192 children. All widths and depths share one program, because the layers are
those of `jaxnas.elastic`. Expected: best validation accuracy 0.98, test accuracy 0.97 after final training; the mean of
a round rises from 0.78 to 0.96.
"""

from flax import nnx

import jaxnas
from jaxnas import Float, Int, elastic


class Net(nnx.Module):
    def __init__(self, inputs, outputs, *, width, depth, dropout, rngs):
        height, breadth, channels = inputs
        self.first = elastic.Linear(height * breadth * channels, width, rngs=rngs)
        layer = lambda: nnx.Sequential(elastic.Linear(width, width, rngs=rngs), nnx.relu)
        self.more = nnx.List([elastic.Skippable(layer(), i < depth) for i in range(elastic.most(depth))])
        self.dropout = elastic.Dropout(dropout, rngs=rngs)
        self.last = elastic.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.first(x.reshape(len(x), -1)))
        for layer in self.more:
            x = layer(x)
        return self.last(self.dropout(x))


space = jaxnas.ModuleSpace(
    Net, width=Int(8, 128, log=True, static=False), depth=Int(0, 3, static=False), dropout=Float(0.0, 0.6)
)
experiment = jaxnas.Experiment(
    space=jaxnas.Tuned(space, learning_rate=Float(1e-3, 1.0, log=True), weight_decay=Float(1e-6, 1e-2, log=True)),
    task=jaxnas.Digits(),
    strategy=jaxnas.Evolution(population=24, sample=6),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=5)),
    final=jaxnas.Final(jaxnas.Train(epochs=30)),
    rounds=12,
    children=16,
)
