"""Search networks for MNIST (28x28 pixels, 60,000 training images), turned and shifted in training, on two CPU cores.

    python -m jaxnas search configs/mnist.py --final --task.source FILE_OR_FOLDER

FILE_OR_FOLDER: an .npz in Keras's layout, or the folder with the four idx files; `tfds:mnist` also works where
TensorFlow Datasets has prepared it. The children learn from 10,000 of the images, of each digit its share; the winner
is trained on all of them, three times. About 10 minutes for the 200 children on 2 cores and 6 for the final trainings;
validation accuracy 0.976 (2,000 images), test accuracy 0.9923 (10,000 images, mean of three seeds, each above 0.99).
"""

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Images
from jaxnas.tasks.classification import Augment

experiment = Experiment(
    space=ChainCNN(
        layers=5,
        depths=(3, 4, 5),
        kernel_heights=(1, 3, 5),
        kernel_widths=(1, 3, 5),
        filters=(8, 16, 24),
        pool_after=(1, 2, 3),
    ),
    # no flips: a mirrored digit is none, or another
    task=Images("data/mnist.npz", validation=0.2, augment=Augment(rotation=20, shift=0.2), limit=10_000),
    strategy=Reinforce(learning_rate=0.03, baseline_decay=0.7),
    evaluator=Population(Train(epochs=3, batch_size=64)),
    final=Final(Train(epochs=12, batch_size=128), seeds=3, limit=60_000),
    rounds=25,
    children=8,
)
