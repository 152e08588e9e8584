"""The configs that come with jaxnas go by name, and the command by its own."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from refusals import refused

from jaxnas import __main__, called, examples
from jaxnas.cli import _read, main

ROOT = Path(__file__).parents[1]


def test_every_config_of_the_repository_goes_by_name():
    there = sorted((ROOT / "configs").glob("*.py"))
    assert [examples.found(name) for name in examples.names()] == there
    assert [path.stem for path in there] == examples.names()
    listed = [*examples.lines("experiment"), *examples.lines("comparison")]
    assert sorted(line.split()[0] for line in listed) == examples.names()
    assert all(len(line.split()) > 5 for line in listed)


def test_a_file_wins_over_a_name_and_a_directory_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert examples.found("digits") == ROOT / "configs" / "digits.py"
    (tmp_path / "cifar10").write_text("")
    assert examples.found("cifar10") == Path("cifar10")
    refused(lambda: examples.found("digit"), "there is no config 'digit': did you mean digits", "nasbench201")
    refused(lambda: examples.found("wumpus"), "there is no config 'wumpus': Give a Python file, or a name: cell201")
    refused(lambda: examples.found("configs/digits.py"), "no such file; the config that comes with jaxnas is 'digits'")


@pytest.mark.parametrize(
    ("typed", "config"),
    [
        (["search", "digits", "--final"], "digits.py"),
        (["search", "digits", "--task.source", "x.py"], "digits.py"),
        (["tabulate", "out.csv.gz", "mine.py"], "mine.py"),
        (["tabulate", "digits_table", "out.csv.gz"], "digits_table.py"),
        (["compare", "nasbench201"], "nasbench201.py"),
        (["plan", "--for", "h100", "mine.py"], "mine.py"),
        (["compare", "--out", "digits"], None),
    ],
)
def test_where_the_config_stands(typed, config):
    options, _ = _read(typed)
    assert (options.config and options.config.name) == config


def test_help_lists_them(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert "nasbench201" in capsys.readouterr().out


def test_a_mistake_names_the_config_as_it_was_typed(capsys):
    assert main(["search", "digits", "--roundz", "1"]) == 2
    assert "`digits --help` after the command lists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("/x/bin/jaxnas", "jaxnas"),
        ("jaxnas.exe", "jaxnas"),
        ("/x/jaxnas/__main__.py", called.MODULE),
        ("", called.MODULE),
    ],
)
def test_what_it_was_called_by(monkeypatch, argument, name):
    monkeypatch.setattr(sys, "argv", [argument])
    assert called.called() == name


def test_the_script_is_the_module():
    """As installers write it; JAX is not imported before the handlers stand."""
    place, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["jaxnas"].split(":")
    assert (place, getattr(__main__, function)) == ("jaxnas.__main__", __main__.script)
    code = f"import sys; from {place} import {function}; assert 'jax' not in sys.modules; sys.argv[0] = 'jaxnas'\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit({function}())", "final"],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "jaxnas: final needs the directory of a search: jaxnas final WORKDIR" in done.stderr
