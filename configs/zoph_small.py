"""The space of Zoph & Le (2017, section 3.3) in small: skips, strides, poolings and growing depth, on Fashion-MNIST.

    python -m jaxnas search configs/zoph_small.py --final --task.source FILE_OR_FOLDER

FILE_OR_FOLDER: an .npz in Keras's layout, or the folder with the four idx files; `tfds:fashion_mnist` also works where
TensorFlow Datasets has prepared it. About 15 minutes for the 144 children on two CPU cores: the controller soon
proposes larger networks than random ones. Expected: best validation accuracy 0.75 after two short epochs, where random
search finds 0.69.
"""

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.rewards import CubedAccuracy
from jaxnas.spaces import Growth, SkipCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Images

experiment = Experiment(
    space=SkipCNN(
        layers=6,
        growth=Growth(start=4, by=1, every=48),
        kernel_heights=(1, 3, 5),
        kernel_widths=(1, 3, 5),
        filters=(8, 16, 24),
        stride_heights=(1, 2),
        stride_widths=(1, 2),
        types=("convolution", "max_pool"),
    ),
    task=Images("fashion_mnist.npz", validation=0.25, limit=3000),
    strategy=Reinforce(learning_rate=0.03, baseline_decay=0.7),
    reward=CubedAccuracy(),
    evaluator=Population(Train(epochs=2, batch_size=64, best_of_last=1)),
    final=Final(Train(epochs=15, batch_size=128)),
    rounds=18,
    children=8,
)
