"""The space of NAS-Bench-201 on CIFAR-10: its 15,625 cells, its network, its settings for 12 epochs (Dong & Yang, 2020,
section 2), a controller in place of a table.

    python -m jaxnas search configs/cell201_cifar10.py --final --task.source FILE

FILE: an .npz in Keras's layout, or `tfds:cifar10` where TensorFlow Datasets has prepared it. Made for accelerators, on
which it has not been measured: on a CPU core one child takes about 45 minutes (66 million million multiply-adds on
average), and there are 800. No accuracy of the full search has been measured yet; in the published table the validation
accuracies of all cells after 12 epochs have mean 0.689, median 0.723 and maximum 0.849. A smoke run on two CPU cores
takes 2 minutes (accuracy 0.25, chance is 0.1):

    python -m jaxnas search configs/cell201_cifar10.py --task.source FILE --workdir runs/smoke --rounds 2 --children 6 \
        --task.limit 2000 --space.channels 8 --space.cells 1 --evaluator.train.epochs 2 --evaluator.train.batch-size 64
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
