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


def introduced(trial: Trial, measure: Measure, unknown: float = 0.0) -> str:
    """The same with what the score is: of a table its column, and the score after the whole training if it has that."""
    words = scored(trial, measure, unknown)
    if trial.score is None:
        return words
    column, final = trial.architecture.get("column"), trial.architecture.get("final")
    head = "score" if measure == Measure.NUMBER else "validation score"
    head = "validation" if measure.named else head
    head = head if column is None else f"column {column}"
    return (
        f"{head} {words}"
        if final is None
        else f"{head} {words}, final validation score {measure.words(final, unknown)}"
    )


def figures(trial: Trial) -> str:
    """What else was found of it, by name: "loss 0.25, leaves 31"."""
    return ", ".join(f"{name} {value:.5g}" for name, value in trial.figures.items())


def copied_from(trial: Trial) -> str:
    """The trial whose result it has, or nothing where it has its own."""
    return "" if trial.copied_from is None else f"trial {trial.copied_from}"


def costs(trial: Trial) -> str:
    """Parameters and multiply-adds, or nothing where a table does not tell them."""
    if not trial.parameters and not trial.multiply_adds:
        return ""
    return f", {trial.parameters:,} parameters, {trial.multiply_adds:,} multiply-adds"
