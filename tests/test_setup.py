"""XLA's flags that a command sets before JAX starts: determinism on GPUs, and choices among kernels that are kept."""

import os
import subprocess
import sys
from dataclasses import replace

import jax
import pytest
from test_search import EXPERIMENT

from jaxnas import setup
from jaxnas.machine import machine

EXCLUDE, DETERMINISTIC = "--xla_gpu_exclude_nondeterministic_ops=true", "--xla_gpu_deterministic_ops=true"
CHOICES = """version: 3
results {
  device: "CUDA: 9.0"
  hlo: "{\\n  tmp_0 = f32[4,4]{1,0} parameter(0)\\n}"
  result {
    gemm {
      algorithm: -1
    }
  }
}
"""


@pytest.fixture
def flags(monkeypatch):
    """What a command adds to XLA_FLAGS where a GPU may be found."""
    monkeypatch.setattr(setup, "_gpu_expected", lambda: True)

    def added(workdir=None, user="", experiment=EXPERIMENT):
        monkeypatch.setenv("XLA_FLAGS", user)
        setup.set_flags(experiment, workdir)
        return os.environ["XLA_FLAGS"].removeprefix(user).strip()

    return added


def test_a_directory_keeps_the_choices_and_gives_them_back(flags, tmp_path):
    kept = tmp_path / "runs" / "new" / setup.TUNING
    dump = f"--xla_gpu_dump_autotune_results_to={kept}"
    assert flags(kept.parent) == f"{EXCLUDE} {dump}"
    kept.parent.mkdir(parents=True)
    kept.write_text(CHOICES)
    assert flags(kept.parent) == f"{EXCLUDE} {dump} --xla_gpu_load_autotune_results_from={kept}"


def test_choices_that_are_cut_off_are_not_read(flags, tmp_path):
    """Every beginning of them, as a kill may leave it."""
    for end in range(len(CHOICES) - 1):
        (tmp_path / setup.TUNING).write_text(CHOICES[:end])
        assert "load_autotune" not in flags(tmp_path), CHOICES[:end]


def test_where_nothing_can_be_kept_nothing_is_measured(flags, tmp_path, monkeypatch):
    assert flags() == DETERMINISTIC
    monkeypatch.setattr(os, "access", lambda *asked: False)  # root may write anywhere
    assert flags(tmp_path) == DETERMINISTIC


def test_what_the_user_says_stays(flags, tmp_path):
    for user in ("--xla_gpu_deterministic_ops=false", "--xla_gpu_exclude_nondeterministic_ops=false", "/a/file"):
        assert flags(tmp_path, user) == flags(None, user) == ""
    dump = f"--xla_gpu_dump_autotune_results_to={tmp_path / setup.TUNING}"
    assert flags(tmp_path, "--xla_dump_to=/x") == f"{EXCLUDE} {dump}"
    assert flags(tmp_path, "--xla_gpu_dump_autotune_results_to=/x.txt") == EXCLUDE
    assert flags(tmp_path, experiment=replace(EXPERIMENT, deterministic=False)) == ""


@pytest.mark.parametrize(
    ("platforms", "plugins", "expected"),
    [
        ("cpu", ["xla_cuda13"], False),
        ("cuda,cpu", [], True),
        ("tpu", ["xla_cuda13"], False),
        (None, ["xla_cuda13"], True),
        (None, [], False),
    ],
)
def test_a_gpu_is_expected_where_one_is_named_or_its_plugin_is_there(monkeypatch, platforms, plugins, expected):
    named = [type("Plugin", (), {"name": name}) for name in plugins]
    monkeypatch.setattr(setup, "entry_points", lambda group: named)
    before = jax.config.jax_platforms
    try:
        jax.config.update("jax_platforms", platforms)
        assert setup._gpu_expected() == expected
    finally:
        jax.config.update("jax_platforms", before)


def test_without_a_gpu_no_flag_is_set(monkeypatch, tmp_path):
    """So that kept programs are the same in every directory."""
    monkeypatch.setenv("XLA_FLAGS", "")
    setup.use(EXPERIMENT, tmp_path)
    assert os.environ["XLA_FLAGS"] == ""


def test_xla_knows_the_flags_and_a_directory_may_have_any_name(flags, tmp_path):
    """An unknown flag ends the process. What XLA read is in the options of each compilation."""
    workdir = tmp_path / """a "b" it's"""
    workdir.mkdir()
    (workdir / setup.TUNING).write_text(CHOICES)
    code = "from jax._src.lib import xla_client; import sys\n"
    code += f"kept = {str(workdir / setup.TUNING)!r}.encode()\n"
    code += "sys.exit(xla_client.CompileOptions().SerializeAsString().count(kept) != 2)"
    for given in (flags(workdir), flags()):
        environment, command = os.environ | {"XLA_FLAGS": given}, [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (given == DETERMINISTIC, "")


def test_a_second_search_of_a_process_is_told_where_no_choices_are_kept(flags, tmp_path, monkeypatch, capsys):
    jax.devices()
    monkeypatch.setenv("XLA_FLAGS", flags(tmp_path / "a"))
    monkeypatch.setattr(setup, "SAID", [])
    for name, lines in (("a", 0), ("b", 1), ("b", 0), ("c", 1)):
        setup.prepare(EXPERIMENT, tmp_path / name)
        said = [line for line in capsys.readouterr().err.splitlines() if "kernels" in line]
        assert len(said) == lines
        assert all(f"not kept in {tmp_path / name}" in line and "a fresh process" in line for line in said)
    setup.prepare(replace(EXPERIMENT, deterministic=False), tmp_path / "d")
    assert "kernels" not in capsys.readouterr().err


def test_where_choices_are_kept_is_not_recorded(flags, tmp_path):
    workdir = tmp_path / """a "b" it's"""
    workdir.mkdir()
    (workdir / setup.TUNING).write_text(CHOICES)
    flags(workdir, "--xla_dump_max_hlo_modules=3")
    assert machine()["flags"] == f"--xla_dump_max_hlo_modules=3 {EXCLUDE}"
