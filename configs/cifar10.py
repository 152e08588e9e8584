"""The filter sizes and counts of Zoph & Le (2017, section 4.1) on CIFAR-10, strides 1, for one accelerator.

    python -m jaxnas search configs/cifar10.py --final --task.source FILE

FILE: an .npz in Keras's layout, or `tfds:cifar10` where TensorFlow Datasets has prepared it. Made for a GPU: on two CPU
cores one child's epoch takes minutes, so try it there with a smoke run (half a minute; accuracy 0.2, chance is 0.1):

    python -m jaxnas search configs/cifar10.py --task.source FILE --workdir runs/smoke --rounds 1 --children 2 \
        --task.limit 2000 --space.layers 3 --space.pool-after 1 2 --evaluator.train.epochs 1

No accuracy of the full search has been measured yet. The paper's experiment has skip connections, 12,800 children.
"""

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.rewards import CubedAccuracy
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Images
from jaxnas.tasks.classification import Augment

experiment = Experiment(
    space=ChainCNN(layers=6, pool_after=(2, 4)),  # kernels 1, 3, 5, 7; filters 24, 36, 48, 64
    task=Images("tfds:cifar10", validation=0.1, augment=Augment(pad=4, flip=True)),  # 45,000 and 5,000
    strategy=Reinforce(learning_rate=0.01),  # a hundred updates, where the paper's rate 6e-4 has 1,600
    reward=CubedAccuracy(),
    evaluator=Population(Train(epochs=10, batch_size=128)),
    final=Final(Train(epochs=100, batch_size=128)),
    rounds=100,
    children=8,
)
