"""Search recurrent cells on the characters of Shakespeare, which come with jaxnas.

    python -m jaxnas search configs/shakespeare_cells.py --final

About 5 minutes on 2 CPU cores for 384 cells, and another for the final training from three seeds. Expected: best
validation score -2.12 (3.05 bits a character) after one short epoch; after final training 2.17 bits on the test text,
where an LSTM of as many parameters has 2.14 (docs/recurrent.md).
"""

from jaxnas.evaluators import Adam, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.rewards import Perplexity
from jaxnas.spaces import LanguageModel, RecurrentCell
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Text

experiment = Experiment(
    # four leaves, so seven nodes; two layers of 64 units: 73,534 parameters
    space=RecurrentCell(base=4, model=LanguageModel(hidden=64, layers=2)),
    # 150,000 characters to learn from and 120,000 to validate on, so that a child is soon trained and sharply scored;
    # final training learns from both
    task=Text(unroll=32, validation=0.4),
    # 48 updates, not the paper's thousands: they need a rate far above its 5e-4, and a baseline that keeps up
    strategy=Reinforce(learning_rate=0.03, baseline_decay=0.7),
    reward=Perplexity(),
    evaluator=Population(Train(epochs=1, batch_size=16, optimiser=Adam(learning_rate=0.01, clip=1.0))),
    final=Final(Train(epochs=10, batch_size=16, optimiser=Adam(learning_rate=0.002, clip=1.0)), seeds=3),
    rounds=48,
    children=8,
)
