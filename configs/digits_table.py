"""x"""

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(layers=3, kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8, 16), pool_after=(1, 2)),
    task=Digits(validation=0.5),
    evaluator=Population(Train(epochs=6, batch_size=64)),
)
