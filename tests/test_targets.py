"""Compiling for a device that is not here: what is said, and that a search does not notice its compilers."""

import pytest
from rich.console import Console

from jaxnas import cli
from jaxnas.report import target_lines, target_table
from jaxnas.targets import TARGETS, check_installed, environment
from jaxnas.targets.compiled import Compiled

GROUP = Compiled(
    64, "padded", 4.5, trace_seconds=1.5, compile_seconds=30.0, memory=5 * 2**30, data=2**30, operations=120.0,
    cycles=3e6, scoring_cycles=1e6, visits=(100, 10), epochs=3,
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
    assert "16 GiB, of which a group may take 8.0" in lines


def test_what_does_not_fit_or_compile_is_said_in_its_row():
    failed = Compiled(8, "ragged", 1.0, failure="ValueError: no kernel")
    console = Console(width=160)
    with console.capture() as text:
        console.print(target_table([GROUP, failed], 2 * GIB))
    rows = text.get().splitlines()
    assert "does not fit into 2.0 GiB, a search halves it" in rows[2]
    assert "does not compile: ValueError: no kernel" in rows[3]
    assert not any("fit at once" in line for line in target_lines([failed], TARGETS["h100"], GIB))


def test_loops_that_the_host_reads_are_said_of_gpus():
    waits = Compiled(8, "branching", 1.0, memory=GIB, conditionals=20.0, open_loops=3.0)
    assert any("waits 23 times a step" in line for line in target_lines([waits], TARGETS["h100"], 2 * GIB))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "H100"], "--for H100: did you mean h100? There are h100, v5e, v6e, v5p"),
        (["--for", "v5e", "--memory", "17"], "17 GiB of memory: a TPU v5e has 16"),
        (["--for", "v5e", "--memory", "nan"], "nan GiB of memory"),
        (["--for", "v5e", "--memory", "-1"], "-1 GiB of memory"),
        (["--memory", "8"], "--memory 8 is of a device that is not here: name it"),
    ],
)
def test_mistakes(options, said, capsys, monkeypatch):
    monkeypatch.setattr("jaxnas.commands.plan.check_installed", lambda target: None)
    assert cli.main(["plan", "configs/digits.py", *options]) == 2
    assert said in capsys.readouterr().err


def test_what_trains_nothing_has_no_program(capsys):
    assert cli.main(["plan", "configs/shipped_table.py", "--for", "v5e"]) == 2
    assert "Table trains nothing: there is no program to compile" in capsys.readouterr().err


def test_a_compiler_that_is_not_installed_is_named(monkeypatch):
    def nothing(package):
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(package)

    monkeypatch.setattr("jaxnas.targets.version", nothing)
    with pytest.raises(
        ValueError, match=r"there is no compiler for a TPU v6e here: pip install 'jaxnas\[target-tpu\]'"
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
