"""The experiment of Zoph & Le (2017, sections 3.3 and 4.1) on CIFAR-10, all settings as published, for accelerators.

    python -m jaxnas search configs/zoph_cifar10.py --final --task.source FILE

FILE: an .npz in Keras's layout, or `tfds:cifar10` where TensorFlow Datasets has prepared it. 12,800 children of 6 to 20
layers with skip connections and predicted strides, 50 epochs each on 45,000 images, 1,600 updates of 8 children; the
paper used 800 GPUs for it. Random networks of this space take 35 M multiply-adds an image at 6 layers and 494 M at 20;
all together 3.8e19 operations (`benchmarks/search_work.py`), which is 1,050 hours of one accelerator that does 1e13
useful ones a second. No accelerator has been measured yet. What the paper does not say, and was chosen here, is listed
in docs/guide.md, "Settings of the published experiments".

The same in miniature, here and now (about a minute on 2 CPU cores; the accuracy is that of chance):

    python -m jaxnas search configs/zoph_cifar10.py --task.source FILE --workdir runs/smoke --rounds 1 --children 2 \
        --task.limit 600 --evaluator.train.epochs 1 --evaluator.train.batch-size 32

Paper: 5.50% test error without strides or pooling (15 layers, 4.2M parameters), 6.01% with predicted strides (20
layers, 2.5M), 4.47% with pooling (39 layers, 7.1M).
"""

from jaxnas.evaluators import SGD, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.rewards import CubedAccuracy
from jaxnas.spaces import Growth, SkipCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Images
from jaxnas.tasks.classification import Augment

AUGMENT = Augment(whiten=True, upsample=40, flip=True)
# Nesterov momentum; a tenth of the rate from half of the training on, and a hundredth from three quarters on: as
# DenseNet, like the batch of 64
OPTIMISER = SGD(0.1, momentum=0.9, weight_decay=1e-4, schedule="step", drops=(0.5, 0.75))

experiment = Experiment(
    # kernel sides 1, 3, 5, 7; filters 24, 36, 48, 64; strides 1, 2, 3; two layers more every 1,600 trials
    space=SkipCNN(layers=20, growth=Growth(start=6, by=2, every=1600)),
    task=Images("tfds:cifar10", validation=0.1, augment=AUGMENT),  # 45,000 and 5,000
    strategy=Reinforce(learning_rate=6e-4, units=35, layers=2),
    reward=CubedAccuracy(),  # of the best of the last 5 epochs
    evaluator=Population(Train(epochs=50, batch_size=64, best_of_last=5, optimiser=OPTIMISER)),
    final=Final(Train(epochs=300, batch_size=64, optimiser=OPTIMISER)),
    rounds=1600,
    children=8,
)
