"""Compiling for a device that is not here: what is said, and that a search does not notice its compilers."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from rich.console import Console

from jaxnas import absent, cli
from jaxnas.report import target_lines, target_table
from jaxnas.targets import TARGETS, check_installed, environment, process
from jaxnas.targets.__main__ import main as compiling
from jaxnas.targets.compiled import Compiled
from jaxnas.targets.process import REFUSED

GROUP = Compiled(
    64, "padded", 4.5, trace_seconds=1.5, compile_seconds=30.0, memory=5 * 2**30, growth=((5 * 2**30, 2**30),),
    operations=120.0, cycles=3e6, scoring_cycles=1e6, steps=100, batches=10, epochs=3,
)  # fmt: skip
GIB = 2**30


def test_memory_grows_with_the_children_but_for_the_data():
    """5 GiB of 64 children, one of them data: 16 to a GiB."""
    assert GROUP.at_once(9 * GIB) == 128
    assert GROUP.at_once(2 * GIB) == 16
    assert GROUP.fits(5 * GIB)
    assert not GROUP.fits(5 * GIB - 1)


def test_children_an_hour_are_the_compilers_cycles_of_all_steps():
    """3 epochs of 100 steps of 3e6 cycles and 10 batches of 1e6: 0.62 s at 1.5 GHz."""
    assert GROUP.seconds(1.5e9) == pytest.approx(3 * (100 * 3e6 + 10 * 1e6) / 1.5e9)
    lines = "\n".join(target_lines([GROUP], TARGETS["v5e"], 8 * GIB))
    assert "The compiler's estimate, no measurement: 2 ms a step, 371,613 children an hour." in lines
    assert "About 112 such children fit at once (64 were compiled)." in lines
    assert "16 GiB, of which a group may take 8." in lines


def test_what_does_not_fit_or_compile_is_said_in_its_row():
    failed = Compiled(8, "ragged", 1.0, failure="ValueError: no kernel")
    console = Console(width=160)
    with console.capture() as text:
        console.print(target_table([GROUP, failed], 2 * GIB))
    rows = text.get().splitlines()
    assert "does not fit into 2 GiB, a search halves it" in rows[2]
    assert "does not compile: ValueError: no kernel" in rows[3]
    assert not any("fit at once" in line for line in target_lines([failed], TARGETS["h100"], GIB))


def test_where_one_child_alone_does_not_fit_the_remedy_is_named():
    alone = replace(GROUP, children=1)
    assert GROUP.hopeless(GIB) is False  # a search halves it
    assert alone.hopeless(GIB)
    assert not alone.hopeless(5 * GIB)
    lines = "\n".join(target_lines([GROUP, alone], TARGETS["h100"], GIB // 100))
    assert "of which a group may take 0.01." in lines
    assert "Not one such child fits: lower --evaluator.train.batch-size" in lines


def test_loops_that_the_host_reads_are_said_of_gpus():
    waits = Compiled(8, "branching", 1.0, memory=GIB, growth=((GIB, 0),), conditionals=20.0, open_loops=3.0)
    assert any("waits 23 times a step" in line for line in target_lines([waits], TARGETS["h100"], 2 * GIB))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "H100"], "--for H100: did you mean h100? There are h100, v5e, v6e, v5p"),
        (["--for", "v5e", "--memory", "17"], "17 GiB of memory: one TPU v5e has 16"),
        (["--for", "v5e", "--memory", "nan"], "nan GiB of memory"),
        (["--for", "v5e", "--memory", "-1"], "-1 GiB of memory"),
        (["--for", "v5e", "--memory", "0"], "0 GiB of memory"),
        (["--memory", "8"], "--memory 8 is of a device that is not here: name it"),
    ],
)
def test_mistakes(options, said, capsys, monkeypatch):
    monkeypatch.setattr("jaxnas.commands.plan.check_installed", lambda target: None)
    assert cli.main(["plan", "configs/digits.py", *options]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_number_is_named(capsys):
    with pytest.raises(SystemExit):
        cli.main(["plan", "configs/digits.py", "--for", "h100", "--memory", "8GB"])
    assert "'8GB' is no number of GiB: give one, as --memory 40" in capsys.readouterr().err


def test_a_mistake_is_said_by_the_process_that_compiles(tmp_path):
    compiling(tmp_path / "answer", Path("configs/digits.py"), ["--evaluator.train.batch-size=100000"], "v5e", GIB)
    said = json.loads((tmp_path / "answer").read_text())
    assert said.keys() == {REFUSED}
    assert "100000" in said[REFUSED]


TABLE = """from jaxnas.evaluators import Table
from jaxnas.experiment import Experiment
from jaxnas.spaces import Cell201
from jaxnas.tasks import Digits

experiment = Experiment(Cell201(), Digits(), evaluator=Table("cells.csv", "arch", score="a", seconds="b"))
"""


def test_what_trains_nothing_has_no_program(tmp_path, capsys):
    config = tmp_path / "table.py"
    config.write_text(TABLE)
    assert cli.main(["plan", str(config), "--for", "v5e"]) == 2
    assert "Table trains nothing: there is no program to compile" in capsys.readouterr().err


def test_a_compiler_that_is_not_installed_is_named(monkeypatch):
    def nothing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("jaxnas.targets.version", nothing)
    with pytest.raises(
        ValueError, match=r"there is no compiler for the TPU v6e here: pip install 'jaxnas\[target-tpu\]'"
    ):
        check_installed(TARGETS["v6e"])


def test_a_compiler_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr("jaxnas.targets.version", {"jax-cuda13-plugin": "0.9", "jaxlib": "0.10"}.get)
    with pytest.raises(
        ValueError, match=r"jax-cuda13-plugin is 0.9 and jaxlib 0.10: pip install 'jax-cuda13-plugin==0.10'"
    ):
        check_installed(TARGETS["h100"])


def test_the_environment_of_this_process_stays_out(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    found = environment(TARGETS["v5e"], deterministic=False)
    assert found["JAX_PLATFORMS"] == "cpu"
    assert "XLA_FLAGS" not in found
    assert found["TPU_SKIP_MDS_QUERY"] == "1"


PLUGIN = """import jax

def initialize():  # as JAX's own, which looks unless other platforms are named
    if not jax.config.jax_platforms:
        raise RuntimeError("no GPU")
"""
START = "{}; import jax; from jaxnas import setup; {}; print(jax.devices())"


@pytest.mark.skipif(any(map(os.path.exists, absent.NVIDIA)), reason="there is a GPU here")
def test_a_search_does_not_look_for_the_devices_of_installed_compilers(tmp_path):
    """What the extras install, as far as JAX sees it: a plugin that fails without a GPU, and libtpu."""
    info = tmp_path / "jax_cuda13_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jax-cuda13-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[jax_plugins]\nxla_cuda13 = plugin_of_a_gpu\n")
    (tmp_path / "plugin_of_a_gpu.py").write_text(PLUGIN)
    (tmp_path / "jax_cuda13_plugin.py").write_text("import sys; print('no driver', file=sys.stderr)\n")
    (tmp_path / "libtpu.py").write_text("def get_library_path():\n    return '/nowhere/libtpu.so'\n")
    given = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    given["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])

    def said(*code: str) -> str:
        done = subprocess.run([sys.executable, "-c", START.format(*code)], env=given, capture_output=True, text=True)
        assert "CpuDevice" in done.stdout, done.stderr
        return done.stderr

    bare = said("pass", "pass")
    assert "no GPU" in bare
    assert "no driver" in bare
    assert said("from jaxnas import absent; absent.hide_compilers()", "setup.start()") == ""


COMPILER = importlib.util.find_spec("jax_plugins") is not None


@pytest.mark.skipif(not COMPILER, reason="no compiler for GPUs here: pip install 'jaxnas[target-cuda]'")
def test_the_first_round_of_a_config_compiles_for_an_h100(capfd):
    assert cli.main(["plan", "configs/digits.py", "--for", "h100", "--memory", "1"]) == 0
    out = capfd.readouterr().out
    assert "8  padded" in out
    assert "of which a group may take 1." in out


def test_the_compiling_process_hears_no_ctrl_c():
    """Its own start, too, would end in a traceback beside the one line of the command."""
    heard = "import signal, sys; sys.exit(signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    assert process._run([sys.executable, "-c", heard], dict(os.environ)) == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_where_a_kernel_is_not_made_untimed_the_libraries_are_named():
    console = Console(width=160)
    with console.capture() as text:
        console.print(target_table([replace(GROUP, by_library=True)], 8 * GIB))
    assert "products by cuBLAS alone" in text.get()
