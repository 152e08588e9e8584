"""Your own function in place of a network: which of two classifiers of scikit-learn, and with what settings.

    python -m jaxnas search configs/sklearn_objective.py

About half a minute on 2 CPU cores for 120 children. Expected: best mean accuracy 0.979, of a support
vector machine in the fourth round (the best boosting has 0.975); the mean is 0.912 over the first 30 children
and 0.955 over the last.
"""

from jaxnas.evaluators import Objective
from jaxnas.experiment import Experiment
from jaxnas.spaces import Choices
from jaxnas.strategies import Evolution
from jaxnas.values import Categorical, Float, Int


def accuracy(values, seed):
    """Of breast tumours told apart by 30 measures: the mean over five folds, and that of the worst fold."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if values["model"] == "svm":
        model = make_pipeline(StandardScaler(), SVC(C=values["c"], gamma=values["gamma"]))
    else:
        about = {"learning_rate": values["rate"], "max_leaf_nodes": values["leaves"], "max_iter": values["trees"]}
        model = HistGradientBoostingClassifier(**about, random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)  # the same for all: a luckier split is no better model
    scores = cross_val_score(model, *load_breast_cancer(return_X_y=True), cv=folds)
    return {"score": scores.mean(), "worst fold": scores.min()}


experiment = Experiment(
    space=Choices(
        model=Categorical("svm", "boosting"),
        c=Float(1e-2, 1e3, log=True, when=("model", "svm")),
        gamma=Float(1e-4, 1.0, log=True, when=("model", "svm")),
        rate=Float(1e-2, 1.0, log=True, when=("model", "boosting")),
        leaves=Int(2, 32, log=True, when=("model", "boosting")),
        trees=Int(10, 100, log=True, when=("model", "boosting")),
    ),
    strategy=Evolution(population=24, sample=6),
    evaluator=Objective(accuracy, processes=2, timeout=30.0),
    rounds=20,
    children=6,
)
