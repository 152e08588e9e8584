"""Two CPU devices, so that every test runs with children spread over devices."""

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture(scope="session")
def two_devices():
    assert jax.local_device_count() == 2, "unset JAX_PLATFORMS and XLA_FLAGS: these tests want two CPU devices"
