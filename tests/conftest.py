"""Two CPU devices, so that every test runs with children spread over devices; and each program compiled once a run."""

import gc
import os
import tempfile

import pytest

COMPILED = tempfile.TemporaryDirectory(prefix="jaxnas-tests-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name  # the processes that tests start read it too
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

QUICKLY = "--xla_backend_optimization_level=0"
"""Most programs of tests run for less time than it takes to optimise their code."""
if QUICKLY not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICKLY}".strip()
os.environ["JAX_NUM_CPU_DEVICES"] = "2"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402

gc.set_threshold(100_000)  # a trace makes many small objects, and the collector would look through all of them


HEAVY = (
    "ordinals strategies environment bayes search interrupts module_space export_text export_page export train tuned "
    "skip_net skip_training exact objective tabulate text_training text_command cli checkpoint final devices"
)
"""Files that take longest: they come first, so that no process is left alone with one of them at the end."""


def pytest_configure(config):
    config.option.loadscopereorder = False  # by which pytest-xdist would begin with files of many tests


def pytest_collection_modifyitems(items):
    places = {f"test_{name}": place for place, name in enumerate(HEAVY.split())}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def two_devices():
    assert jax.local_device_count() == 2, "unset XLA_FLAGS: it overrules the two CPU devices of these tests"


@pytest.fixture(scope="module", autouse=True)
def forgotten():
    """What one file has traced and compiled serves no other, and gigabytes of it make each further test slower."""
    yield
    jax.clear_caches()
    gc.collect()
