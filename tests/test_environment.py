"""What surrounds a command: variables for JAX, a home that is missing or cannot be written, damaged programs, configs
as editors write them."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jax
import pytest
from test_search import CONFIG, EXPERIMENT, rows, run

from jaxnas import program_cache, running, setup
from jaxnas.cli import main
from jaxnas.numerics import pinned
from jaxnas.overrides import override
from jaxnas.strategies import Evolution, QLearning

FEWER = {"layers=2, depths=(1, 2)": "layers=1", "rounds=3, children=6": "rounds=2, children=2"}
SMALL_CONFIG = functools.reduce(lambda text, one: text.replace(*one), FEWER.items(), CONFIG)
names = {}
exec(SMALL_CONFIG, names)
SMALL = names["experiment"]


def jaxnas(*arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "jaxnas", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | environment)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A config whose programs compile fast."""
    path = tmp_path_factory.mktemp("config") / "small.py"
    path.write_text(SMALL_CONFIG)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[tuple]:
    """What the small search gives where nothing is odd."""
    workdir = tmp_path_factory.mktemp("plain")
    run(SMALL, workdir)
    return rows(workdir)


def test_jax_may_be_set_to_anything_and_the_numbers_are_the_same(small, plain, tmp_path):
    odd = {"JAX_ENABLE_X64": "1", "JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    done = jaxnas("search", small, "--workdir", tmp_path / "odd", "--final", **odd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "test score 0." in done.stdout
    assert rows(tmp_path / "odd") == plain


def test_so_it_may_from_python(plain, tmp_path):
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        run(SMALL, tmp_path / "odd")
    assert rows(tmp_path / "odd") == plain
    with jax.enable_x64(True):
        with pinned():
            assert jax.numpy.arange(2.0).dtype == "float32"
        assert jax.numpy.arange(2.0).dtype == "float64"


@pytest.mark.parametrize(
    ("platforms", "message"),
    [
        ("cuda", 'JAX_PLATFORMS=cuda: no such device .*: pip install "jaxnas\\[cuda\\]" on a machine that has one'),
        ("wumpus", "JAX_PLATFORMS=wumpus: no such device .*unset JAX_PLATFORMS"),
    ],
)
def test_a_device_that_is_not_there(config, platforms, message):
    done = jaxnas("plan", config, JAX_PLATFORMS=platforms)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(message, done.stderr)


@pytest.fixture
def cache(monkeypatch):
    """JAX's settings of its cache, as a user has them, and put back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(program_cache, "_hear_of_failures", lambda place: None)
    yield monkeypatch
    for name, value in before.items():
        jax.config.update(name, value)


def test_no_home_is_said_once(cache, capsys):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    cache.setattr(Path, "home", nobody)
    program_cache.keep_programs()
    assert "no home directory, so that compiled programs are not kept" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir is None


def test_a_home_that_cannot_be_made_or_written_is_said_once(cache, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    cache.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    program_cache.keep_programs()
    assert "cannot be made (Not a directory)" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir is None
    cache.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache.setattr(os, "access", lambda *asked: False)  # root may write anywhere
    program_cache.keep_programs()
    assert "new compiled programs are not kept" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir.startswith(str(tmp_path / "cache"))  # it is read all the same
    assert jax.config.jax_persistent_cache_min_compile_time_secs == program_cache.NEVER


def changed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - b for b in content[middle : middle + 99]) + content[middle + 99 :]


def test_a_damaged_program_is_removed_once(small, plain, tmp_path):
    environment = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}

    def said(workdir: str) -> str:
        done = jaxnas("search", small, "--workdir", tmp_path / workdir, **environment)
        assert done.returncode == 0
        assert rows(tmp_path / workdir) == plain
        return done.stderr

    assert said("whole") == ""
    programs = sorted((tmp_path / "programs").glob("jit_*-cache"), key=lambda path: path.stat().st_size)
    for name, damage in {"short": lambda content: content[: len(content) // 2], "changed": changed}.items():
        damaged = damage(programs[-1].read_bytes())
        programs[-1].write_bytes(damaged)
        [line] = said(name).splitlines()  # one: the damage of the time before is not there any more
        assert "a damaged compiled program was removed" in line
        assert programs[-1].read_bytes() != damaged
        assert all(path.exists() for path in programs)  # the others were left alone


ODD_CONFIGS = {
    "byte order mark": b"\xef\xbb\xbf" + CONFIG.encode(),
    "coding line": b"# -*- coding: latin-1 -*-\nname = '\xe9'\n" + CONFIG.encode(),
    "windows": CONFIG.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("name", ODD_CONFIGS)
def test_a_config_is_read_as_python_reads_it(tmp_path, name):
    path = tmp_path / "odd.py"
    path.write_bytes(ODD_CONFIGS[name])
    experiment, source = setup.load(path, [])
    assert experiment == EXPERIMENT
    assert setup.restore(source, path, []) == EXPERIMENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# coding: utf-9\n", "cannot read .*unknown encoding"),
        (b"\xff\xfe\x00", "cannot read"),
        (b"experiment = (", "does not run: SyntaxError"),
        (b"import sys; sys.exit(7)", "does not run: SystemExit: 7"),
        (b"raise SystemExit", "does not run: SystemExit"),
        (b"raise KeyboardInterrupt", "does not run: KeyboardInterrupt"),
        (b"", "sets no `experiment`"),
        (b"experiment = 3", "sets no `experiment`"),
    ],
)
def test_a_config_that_is_none_gets_one_line(tmp_path, content, message):
    (tmp_path / "odd.py").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        setup.load(tmp_path / "odd.py", [])
    with pytest.raises(ValueError, match="cannot read"):
        setup.load(tmp_path, [])


@pytest.mark.parametrize("given", ["8 16", "8,16", "8, 16", "(8, 16)", "[8,16]", "(8 16)"])
@pytest.mark.parametrize("equals", [False, True])
def test_several_values_however_they_are_written(given, equals):
    words = (
        [f"--space.filters={given}"] if equals else ["--space.filters", *([given] if "(" in given else given.split())]
    )
    assert override(EXPERIMENT, [*words, "--seed", "3"], Path("c.py")).space.filters == (8, 16)


def test_values_within_values(tmp_path):
    from dataclasses import replace

    evolved = replace(EXPERIMENT, strategy=Evolution(weights=None))
    assert override(evolved, ["--strategy.weights", "1,2.5"], Path("c.py")).strategy.weights == (1.0, 2.5)
    learns = replace(EXPERIMENT, strategy=QLearning())
    given = ["--strategy.epsilon", "((1.0, 40), (0.1, 1))"]
    assert override(learns, given, Path("c.py")).strategy.epsilon == ((1.0, 40), (0.1, 1))


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], ["COMMAND", "tabulate"]),
        (["--version"], ["jaxnas 0."]),
        (["search", "--help"], ["--workdir", "lists all settings"]),
        (["plan", "-h"], ["CONFIG"]),
        (["search", "CONFIG", "--help"], ["--space.filters", "--final.train.epochs"]),
        (["plan", "CONFIG", "--help"], ["--space.filters"]),
        (["tabulate", "--help"], ["--seeds", "OUT.csv.gz"]),
        (["compare", "--help"], ["--out"]),
        (["final", "--help"], ["--trial", "--final.seeds", "--final.train.optimiser.learning-rate", "--final.width"]),
        (["export", "--help"], ["WORKDIR".lower(), "--trial"]),
        (["trials", "--help"], ["--top"]),
        (["show", "--help"], ["--out"]),
    ],
)
def test_help(config, arguments, shown, capsys):
    arguments = [str(config) if one == "CONFIG" else one for one in arguments]
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status in (0, None)
    out = capsys.readouterr().out
    for one in shown:
        assert one in out


def test_help_of_a_recorded_search_shows_its_settings(small, tmp_path, capsys):
    assert main(["search", "--rounds", "1", "--workdir", str(tmp_path / "run"), str(small)]) == 0
    capsys.readouterr()
    assert main(["final", str(tmp_path / "run"), "--help"]) == 0
    out = capsys.readouterr().out
    assert "--final.train.epochs" in out
    assert "(default: 2)" in out  # the config's, not the library's 30


def test_nothing_typed_shows_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_help_and_mistakes_are_answered_without_jax():
    code = "import sys; from jaxnas.cli import main\ntry: main(['search', '--help'])\nexcept SystemExit: pass\n"
    code += "assert main(['serch']) == 2; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0


def test_no_command_waits_for_the_statistics_of_another():
    code = "import sys, jaxnas.commands.search, jaxnas.commands.final; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0


def test_a_script_is_read_as_python_reads_it(tmp_path, monkeypatch):
    """With a coding line, as a config is."""
    script = tmp_path / "script.py"
    script.write_bytes("# -*- coding: latin-1 -*-\nname = 'café'\n".encode("latin-1"))
    main, experiment = ModuleType("__main__"), SMALL
    vars(main).update(experiment=experiment, __file__=str(script))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert "name = 'café'" in running._script(experiment)["source"]
