"""A user's network as a child: what of its values enters the program as arrays, and what it may not be asked."""

import jax
from flax import nnx

from jaxnas.children import Network
from jaxnas.children.module.definition import Own


class ModuleNetwork(Network):
    """A user's network behind the signature of all children."""

    def __init__(self, own: Own):
        self.own = own

    def __call__(self, x, genes, training, carry, key):
        return self.own.run(x, training, key), carry


PYTHON_NUMBER = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerArrayConversionError,
    jax.errors.NonConcreteBooleanIndexError,
    TypeError,
)
"""What is raised where a traced value is used as a number of Python's, as in a shape or an `if`."""


def weights(network: nnx.Module) -> dict[str, jax.Array]:
    """Parameters, statistics and other arrays by the names that a user's network has for them; no random streams."""
    state = nnx.state(network, nnx.Not(nnx.RngState))
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(state))
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
