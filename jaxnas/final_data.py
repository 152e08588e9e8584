"""Whether a final training reads the data of its search, and of the final trainings before it."""

from pathlib import Path

from jaxnas import fingerprint
from jaxnas.ledger import FILE, Ledger
from jaxnas.numerics import check_numerics


def check_final_data(experiment, workdir: Path, found: dict[str, str]) -> None:
    """Hold data against what the ledger of a directory says of it; where there is no ledger there is nothing to hold.

    Args:
        experiment: the search's; its data is read for this.
        workdir: the directory.
        found: `fingerprint.of_data` of the final training's data.

    Raises:
        ValueError: training, validation or test data have changed, or the search had other numerics.
    """
    if not (Path(workdir) / FILE).is_file():
        return
    ledger = Ledger(workdir)
    facts = ledger.facts()
    ledger.close()
    check_numerics(facts.get("numerics", 1), workdir)
    searched = facts.get("data", {})
    if searched.keys() >= fingerprint.TRAINED:  # not a table's
        fingerprint.check(searched, fingerprint.of_data(experiment.task.search_data(experiment.seed)), workdir)
    for name, fact in facts.items():
        if name.startswith("final:"):
            fingerprint.check(fact.get("data", {}), found, f"{name} of {workdir}")
