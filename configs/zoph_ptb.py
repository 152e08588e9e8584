"""The experiment of Zoph & Le (2017, sections 3.4 and 4.2) on Penn Treebank, settings as published, for accelerators.

    python -m jaxnas search configs/zoph_ptb.py --final --final.width 1.37 --task.source FOLDER

FOLDER: Penn Treebank in its usual form, ptb.train.txt, ptb.valid.txt and ptb.test.txt; 10,000 different words. Cells
of base 8, trained for 35 epochs each; reward 80 / (validation perplexity)^2; controller rate 5e-4, updated by 10 cells
at a time. Training is that of the medium model of Zaremba et al. (https://arxiv.org/abs/1409.2329), with as many
parameters (20M: 535 units, since a cell of base 8 has 16 matrices where an LSTM has 8). Neither the number of children
nor the rates of dropout are in the paper: 10,000, and those below, are ours; docs/guide.md, "Settings of the published
experiments", lists all that was chosen. A child takes 2.8e15 operations on the 929,589 words; nothing of this size has
been run yet.

The same in miniature, here and now, on the text that comes with jaxnas (about half a minute on 2 CPU cores):

    python -m jaxnas search configs/zoph_ptb.py --task.source shakespeare --workdir runs/smoke --rounds 1 --children 2 \
        --space.model.hidden 32 --task.limit 5000 --evaluator.train.epochs 1

Paper: test perplexity 62.4 with 54M parameters and shared embeddings, 64.0 with 25M and shared embeddings, 67.9 with
32M without them. Shared embeddings are --space.model.tied. Width 1.37 makes 32M, with shared embeddings 1.38 makes 25M
and 2.15 makes 54M.
"""

from jaxnas.evaluators import SGD, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.rewards import Perplexity
from jaxnas.spaces import Dropout, LanguageModel, RecurrentCell
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Text

STEPS = 35
# rate 1 and norm 5 of a loss that is summed over the steps of a chunk; ours is their mean
MEDIUM = SGD(1.0 * STEPS, momentum=0.0, weight_decay=0.0, schedule="decay", hold=6, decay=1 / 1.2, clip=5.0 / STEPS)

experiment = Experiment(
    space=RecurrentCell(
        base=8,  # add and multiply; identity, tanh, sigmoid and relu
        model=LanguageModel(535, layers=2, initial=0.05, dropout=Dropout(between=0.5, recurrent=0.25, symbols=0.2)),
    ),
    task=Text("ptb", unit="words", unroll=STEPS, vocabulary=10_000),
    strategy=Reinforce(learning_rate=5e-4, units=35, layers=2),
    reward=Perplexity(c=80.0),
    evaluator=Population(Train(epochs=35, batch_size=20, best_of_last=1, optimiser=MEDIUM)),
    final=Final(Train(epochs=39, batch_size=20, optimiser=MEDIUM)),
    rounds=1000,
    children=10,
)
