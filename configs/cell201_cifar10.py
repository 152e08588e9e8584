"""NAS-Bench-201's space on CIFAR-10, its networks and a single run's settings as published (section 2, 12 epochs).

    python -m jaxnas search configs/cell201_cifar10.py --final --task.source FILE

FILE: as in configs/cifar10.py. Made for accelerators; not run in full yet.
"""

from jaxnas.evaluators import SGD, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import Cell201
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Images
from jaxnas.tasks.classification import Augment

PUBLISHED = SGD(learning_rate=0.1, momentum=0.9, weight_decay=5e-4, schedule="cosine")

experiment = Experiment(
    space=Cell201(),  # 16 channels, 5 cells a stage
    task=Images("tfds:cifar10", validation=0.5, augment=Augment(pad=4, flip=True)),  # 25,000 and 25,000 as published
    strategy=Reinforce(learning_rate=0.03, baseline_decay=0.9),
    evaluator=Population(Train(epochs=12, batch_size=256, optimiser=PUBLISHED, best_of_last=1)),
    final=Final(Train(epochs=200, batch_size=256, optimiser=PUBLISHED)),
    rounds=50,
    children=16,
)
