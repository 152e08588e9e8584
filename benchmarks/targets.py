"""Accelerators that programs can be compiled for without being there. Import it before JAX looks for devices."""

import os

# what libtpu would ask a machine that has TPUs, and what a search with a directory sets for GPUs (`jaxnas.setup`)
os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
os.environ |= {"TPU_ACCELERATOR_TYPE": "v5litepod-4", "XLA_FLAGS": "--xla_gpu_exclude_nondeterministic_ops=true"}

import jax
from jax.experimental import topologies

H100 = """
gpu_device_info {
  threads_per_block_limit: 1024  threads_per_warp: 32  shared_memory_per_block: 49152  shared_memory_per_core: 233472
  threads_per_core_limit: 2048  core_count: 132  fpus_per_core: 128  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535  block_dim_limit_z: 65535  memory_bandwidth: 3352320000000  l2_cache_size: 52428800
  clock_rate_ghz: 1.98  device_memory_size: 84942979072  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }  registers_per_core_limit: 65536  registers_per_block_limit: 65536
}
platform_name: "CUDA"  dnn_version_info { major: 9 minor: 10 }  runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def device(target: str):
    """One device of a kind: "h100", or a TPU by a topology of it.

    Raises:
        Exception: its compiler is not installed, or knows no such topology.
    """
    jax.config.update("jax_platforms", "cpu")  # what runs here
    if target == "h100":
        return topologies.get_topology_desc(target, "cuda", topology="1x1x1", target_config=H100).devices[0]
    return topologies.get_topology_desc(target, "tpu").devices[0]
