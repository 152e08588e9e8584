"""Search networks for Fashion-MNIST (28x28 pixels, 60,000 training images) on two CPU cores.

    python -m jaxnas search configs/fashion_mnist.py --final --task.source FILE_OR_FOLDER

FILE_OR_FOLDER: an .npz in Keras's layout, or the folder with the four idx files; `tfds:fashion_mnist` also works
where TensorFlow Datasets has prepared it. About 3 minutes for the 32 children on 2 cores and 2 for the final training.
Expected: best validation accuracy 0.84 after the one epoch of a child, test accuracy 0.90 after final training.
"""

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Images
from jaxnas.tasks.classification import Augment

experiment = Experiment(
    # pooling after the first three layers and at most 16 filters: what two cores can train
    space=ChainCNN(
        layers=4, kernel_heights=(1, 3, 5), kernel_widths=(1, 3, 5), filters=(4, 8, 12, 16), pool_after=(1, 2, 3)
    ),
    task=Images("fashion_mnist.npz", validation=1 / 12, augment=Augment(pad=2, flip=True)),
    strategy=Reinforce(learning_rate=0.03, baseline_decay=0.7),
    evaluator=Population(Train(epochs=1, batch_size=128)),
    final=Final(Train(epochs=15, batch_size=128)),
    rounds=4,
    children=8,
)
