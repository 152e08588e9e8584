"""Learn to design networks for handwritten digits: the first search, on a laptop, without a download."""

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(
        layers=4, kernel_heights=(1, 3, 5), kernel_widths=(1, 3, 5), filters=(8, 16, 24, 32), pool_after=(2,)
    ),
    task=Digits(),
    strategy=Reinforce(learning_rate=0.03),
    evaluator=Population(Train(epochs=3), group_size=8),
    final=Final(Train(epochs=30)),
    rounds=24,
    children=8,
)
