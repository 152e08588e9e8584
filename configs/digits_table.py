"""Every network of a small space trained on the digits: the table that jaxnas ships as a benchmark of strategies.

    python -m jaxnas tabulate configs/digits_table.py digits.csv.gz --seeds 3

About 10 minutes on 2 CPU cores for 1,872 networks, each from three seeds. Half of the digits that may be learnt from
validate, so that scores are sharp (719 images) and a training is short; eight epochs are too few for a ceiling.
Expected: validation accuracy from 0.10 to 0.98, a median of 0.78.
"""

from jaxnas.evaluators import SGD, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(
        layers=3, depths=(2, 3), kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8, 16), pool_after=(1, 2)
    ),
    task=Digits(validation=0.5),
    evaluator=Population(Train(epochs=8, optimiser=SGD(learning_rate=0.2))),
)
