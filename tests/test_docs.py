"""The code of the pages runs as it stands: every block of Python, in order."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxnas.ledger import Ledger
from jaxnas.search import Silent, search
from jaxnas.setup import load

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?```python\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str | None, str]]:
    """Why it is not run, or None, and the code, of each block."""
    return [(found["why"], found["code"]) for found in BLOCK.finditer(page.read_text())]


def stand_ins(place: Path) -> None:
    """Files that blocks name."""
    images, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 2
    np.savez(place / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stand_ins(tmp_path)
    names = {"__name__": "page", "__file__": str(tmp_path / "page.py")}
    for why, code in blocks(page):
        if why is None:
            (tmp_path / "page.py").write_text(code)  # an objective has to stand in a file
            exec(compile(code, page.name, "exec", dont_inherit=True), names)


def test_no_block_is_overlooked():
    """As many as there are fences; one that is not run says why."""
    for page in PAGES:
        assert page.read_text().count("```python") == len(blocks(page)), page.name
    assert sum(why is None for page in PAGES for why, _ in blocks(page)) >= 3


def test_the_template_of_a_strategy_searches(tmp_path):
    """As a config file, with a setting changed."""
    [code] = [code for _, code in blocks(ROOT / "docs" / "design.md") if "def propose" in code]
    (tmp_path / "mine.py").write_text(code)
    smaller = ["--strategy.share", "0.5", "--rounds", "2", "--children", "2", "--evaluator.train.epochs", "1"]
    experiment, _ = load(tmp_path / "mine.py", smaller)
    assert experiment.strategy.share == 0.5
    ledger = Ledger(tmp_path, write=True)
    search(experiment, ledger, Silent())
    assert len(ledger) == 4
    assert len({trial.tokens for trial in ledger.trials()}) > 1
