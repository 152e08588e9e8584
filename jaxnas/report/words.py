"""What is said of one trial wherever it is named."""

from jaxnas.outcome import Measure, Trial


def scored(trial: Trial, measure: Measure, unknown: float = 0.0) -> str:
    """Score as it is read, beside the share of the text that is <unk>, and, where the reward is another number, the
    reward: by that the best is found.
    """
    if trial.score is None:
        return trial.status
    words = measure.words(trial.score, unknown)
    if not trial.ranked:
        return f"{words}, {trial.status}"
    return words if trial.reward == trial.score else f"{words}, reward {trial.reward:.4g}"
