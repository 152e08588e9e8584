"""Notebooks: a display that stays in place; and, where there is a Jupyter kernel, a notebook that is really run."""

import sys
import threading
from importlib import import_module
from types import ModuleType

import pytest
from rich.text import Text

from jaxnas.report import final_report_on, report_on
from jaxnas.report.finals import FinalReport, LiveFinalReport
from jaxnas.report.live import LiveReport, Report

consoles = import_module("jaxnas.report.console")  # beside a function of this name


class Cell:
    """The output of a notebook's cell, as IPython keeps it: displays by their number."""

    def __init__(self):
        self.outputs: list[str] = []
        self.changes = threading.Semaphore(0)

    def display(self, bundle, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.outputs.append("")
        return Handle(self, len(self.outputs) - 1, bundle)


class Handle:
    def __init__(self, cell: Cell, number: int, bundle: dict):
        self.cell, self.number = cell, number
        self.update(bundle, raw=True)

    def update(self, bundle, raw):
        assert raw
        assert bundle.keys() == {"text/plain", "text/html"}
        assert self.cell.outputs[self.number] != bundle["text/plain"]
        self.cell.outputs[self.number] = bundle["text/plain"]
        self.cell.changes.release()


@pytest.fixture
def cell(monkeypatch) -> Cell:
    cell, names = Cell(), ModuleType("IPython.display")
    names.display = cell.display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", names)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(consoles, "SECONDS", 0.01)
    return cell


def test_one_output_is_replaced_when_it_has_changed(cell):
    shown = ["first"]
    display = consoles.display(consoles._Notebook(), lambda: Text(shown[0], style="bold red"))
    display.start()
    assert cell.changes.acquire(timeout=10)
    shown[0] = "second [red] <b>"  # in the display's own thread
    assert cell.changes.acquire(timeout=10)
    assert cell.outputs == ["second [red] <b>\n"]
    shown[0] = "last"
    display.stop()
    assert cell.outputs == ["last\n"]
    assert not display._thread.is_alive()


def test_a_notebook_gets_displays_and_lines_are_plain_text(cell, capsys):
    console = consoles.console()
    assert isinstance(console, consoles._Notebook)
    assert type(report_on(console, 1, 1, 0, None)) is LiveReport
    with final_report_on(console, 1) as report:
        assert type(report) is LiveFinalReport
    assert len(cell.outputs) == 1
    console.print("a line")
    assert capsys.readouterr().out == "a line\n"


def test_a_pipe_gets_lines(capsys):
    console = consoles.console()
    assert type(report_on(console, 1, 1, 0, None)) is Report
    assert type(final_report_on(console, 1)) is FinalReport


CELLS = [
    """import jaxnas, time
from jaxnas import Float

def slow(values, seed):
    time.sleep(0.05)
    return values["x"]

strategy = jaxnas.Random()
found = jaxnas.tune({"x": Float(0.0, 1.0)}, slow, rounds=3, children=4, strategy=strategy, workdir="run")""",
    "again = jaxnas.tune({'x': Float(0.0, 1.0)}, slow, rounds=4, children=4, strategy=strategy, workdir='run')",
    "print(len(found.trials), again.best.score == again.best.values['x'])",
]


def test_a_real_notebook(tmp_path):
    why = "no Jupyter kernel here: pip install ipykernel nbclient"
    client, nbformat = pytest.importorskip("nbclient", reason=why), pytest.importorskip("nbformat", reason=why)
    pytest.importorskip("ipykernel", reason=why)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in book.cells[:2]:
        kinds = [output.output_type for output in cell.outputs]
        assert kinds.count("display_data") == 1
        assert len(kinds) == 3  # lines before it and after it, and nothing that the kernel complains of
        [panel] = [output.data["text/plain"] for output in cell.outputs if output.output_type == "display_data"]
        assert "jaxnas search" in panel
    assert "12 of 12" in book.cells[0].outputs[1].data["text/plain"]
    assert "Continuing" in book.cells[1].outputs[0].text
    assert book.cells[2].outputs[0].text == "16 True\n"
