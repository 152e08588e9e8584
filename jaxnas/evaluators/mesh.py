"""The children axis over all local devices. With one device everything here is a no-op."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "children"


def over_children(count: int | None = None) -> Mesh:
    """The first ``count`` local devices in a row; None: all."""
    devices = jax.local_devices()[:count]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def of_one(device: jax.Device) -> Mesh:
    """A device alone, which need not be here."""
    return Mesh(np.array([device]), (AXIS,))


def along_children(mesh: Mesh) -> NamedSharding:
    """The leading axis of an array is spread over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds all of it."""
    return NamedSharding(mesh, PartitionSpec())


def shapes(tree, sharding: NamedSharding):
    """The tree's shapes, laid out so: what a program is compiled for."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree)


def sharded(fn: Callable, mesh: Mesh, spread: int) -> Callable:
    """``fn`` with its first ``spread`` arguments and its result cut along the children, the others on every device.

    `shard_map` rather than the compiler's own partitioner, which would gather every convolution on each device.
    """

    def wrapped(*args):
        specs = tuple(PartitionSpec(AXIS) if i < spread else PartitionSpec() for i in range(len(args)))
        return jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)(*args)

    return wrapped
