"""The written module of a language model; what differs from one to another stands between two "@"."""

MODULE = '''"""A language model of @COUNT@ and @PARAMETERS@ parameters, trained by jaxnas, which it does not need.

    from network import load

    network = load()           # reads weights.safetensors, which lies beside this file
    logits = network(symbols)  # int32 [b, t] -> float32 [b, t, @SYMBOLS@], of the symbol after each

Its `Cell` fits into any network: nnx.RNN(Cell(in_features, hidden_features, rngs=rngs)).
"""

from pathlib import Path

import jax.numpy as jnp
from flax import nnx
from safetensors.flax import load_file

WEIGHTS = Path(__file__).with_name("weights.safetensors")
PRODUCT = @PRODUCT@
INITIAL = nnx.initializers.lecun_uniform()


@CELL_CLASS@


class Network(nnx.Module):
    """Symbols, int32 [b, t] -> logits of the symbol after each, float32 [b, t, @SYMBOLS@]."""

    def __init__(self, rngs):
        self.embedding = nnx.Embed(@SYMBOLS@, @HIDDEN@, rngs=rngs)
        cell = lambda: Cell(@HIDDEN@, @HIDDEN@, rngs=rngs)  # @CELL@ parameters
        self.layers = nnx.List([nnx.RNN(cell(), return_carry=True, rngs=False) for _ in range(@LAYERS@)])
        @OUTPUT@
        self.output_bias = nnx.Param(jnp.zeros(@SYMBOLS@))

    def __call__(self, symbols):
        return self.read(symbols)[1]

    def read(self, symbols, carries=(None,) * @LAYERS@):
        """The carry of each layer after the last symbol, and logits; to go on with a text, give these carries."""
        x, last = self.embedding(symbols), []
        for layer, carry in zip(self.layers, carries, strict=True):
            carry, x = layer(x, initial_carry=carry)
            last.append(carry)
        @LOGITS@
        return last, logits + self.output_bias[...]


def load(path=WEIGHTS):
    """The trained network."""
    weights = load_file(path)
    network = nnx.eval_shape(lambda: Network(nnx.Rngs(0)))  # no initial weights need to be drawn
    network.embedding.embedding.set_value(weights["embedding"])
    for number, layer in enumerate(network.layers, 1):
        layer.cell.input.kernel.set_value(weights[f"layers.{number}.input"])
        layer.cell.recurrent.kernel.set_value(weights[f"layers.{number}.recurrent"])
        @BIAS@
    @LOADS@
    network.output_bias.set_value(weights["output.bias"])
    return network
'''

REDUCED = '{"use_bias": False, "dtype": jnp.@DTYPE@, "preferred_element_type": jnp.float32}'
"""Products whose factors are of a smaller type than their sums."""

TIED = "logits = self.embedding.attend(x)"
TIED_REDUCED = """table = self.embedding.embedding[...].astype(jnp.@DTYPE@)
logits = jnp.dot(x.astype(jnp.@DTYPE@), table.T, preferred_element_type=jnp.float32)"""

TREE = '''class Cell(nnx.RNNCellBase):
    """A recurrent cell without biases, to be used like nnx.LSTMCell: the carry is (c, h), memory and last output."""

    def __init__(self, in_features, hidden_features, *, kernel_init=INITIAL, recurrent_kernel_init=INITIAL, rngs):
        self.in_features, self.hidden_features = in_features, hidden_features
        wide = @BASE@ * hidden_features
        self.input = nnx.Linear(in_features, wide, kernel_init=kernel_init, **PRODUCT, rngs=rngs)
        self.recurrent = nnx.Linear(hidden_features, wide, kernel_init=recurrent_kernel_init, **PRODUCT, rngs=rngs)

    def __call__(self, carry, inputs):
        """One step: carry, two arrays [..., hidden_features], and inputs [..., in_features] -> (carry, h)."""
        c, h = carry
        wx = jnp.split(@ENTERING@, @BASE@, axis=-1)  # wx[0] is W0 x, the inputs by the weights of leaf 0
        uh = jnp.split(self.recurrent(h), @BASE@, axis=-1)
        @FORMULAS@
        return (new_c, a@ROOT@), a@ROOT@

    def initialize_carry(self, input_shape, rngs=None):
        """Zeros, for inputs of this shape [..., in_features]; nothing is drawn from rngs."""
        zeros = jnp.zeros((*input_shape[:-1], self.hidden_features))
        return zeros, zeros

    @property
    def num_feature_axes(self):
        return 1'''
LSTM = '''class Cell(nnx.RNNCellBase):
    """A long short-term memory, to be used like nnx.LSTMCell: the carry is (c, h), memory and last output."""

    def __init__(self, in_features, hidden_features, *, kernel_init=INITIAL, recurrent_kernel_init=INITIAL, rngs):
        self.in_features, self.hidden_features = in_features, hidden_features
        wide = @BASE@ * hidden_features
        self.input = nnx.Linear(in_features, wide, kernel_init=kernel_init, **PRODUCT, rngs=rngs)
        self.recurrent = nnx.Linear(hidden_features, wide, kernel_init=recurrent_kernel_init, **PRODUCT, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(wide))

    def __call__(self, carry, inputs):
        """One step: carry, two arrays [..., hidden_features], and inputs [..., in_features] -> (carry, h)."""
        c, h = carry
        wx = jnp.split(@ENTERING@, @BASE@, axis=-1)
        uh = jnp.split(self.recurrent(h), @BASE@, axis=-1)
        enter, forget, new, out = (w + u for w, u in zip(wx, uh, strict=True))
        c = nnx.sigmoid(forget) * c + nnx.sigmoid(enter) * jnp.tanh(new)
        h = nnx.sigmoid(out) * jnp.tanh(c)
        return (c, h), h

    def initialize_carry(self, input_shape, rngs=None):
        """Zeros, for inputs of this shape [..., in_features]; nothing is drawn from rngs."""
        zeros = jnp.zeros((*input_shape[:-1], self.hidden_features))
        return zeros, zeros

    @property
    def num_feature_axes(self):
        return 1'''
GRU = '''class Cell(nnx.RNNCellBase):
    """A gated recurrent unit, to be used like nnx.GRUCell: the carry is h, the last output."""

    def __init__(self, in_features, hidden_features, *, kernel_init=INITIAL, recurrent_kernel_init=INITIAL, rngs):
        self.in_features, self.hidden_features = in_features, hidden_features
        wide = @BASE@ * hidden_features
        self.input = nnx.Linear(in_features, wide, kernel_init=kernel_init, **PRODUCT, rngs=rngs)
        self.recurrent = nnx.Linear(hidden_features, wide, kernel_init=recurrent_kernel_init, **PRODUCT, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(wide))

    def __call__(self, carry, inputs):
        """One step: carry, an array [..., hidden_features], and inputs [..., in_features] -> (carry, h)."""
        h = carry
        wx = jnp.split(@ENTERING@, @BASE@, axis=-1)
        uh = jnp.split(self.recurrent(h), @BASE@, axis=-1)
        reset, update = nnx.sigmoid(wx[0] + uh[0]), nnx.sigmoid(wx[1] + uh[1])
        new = jnp.tanh(wx[2] + reset * uh[2])
        h = (1 - update) * new + update * h
        return h, h

    def initialize_carry(self, input_shape, rngs=None):
        """Zeros, for inputs of this shape [..., in_features]; nothing is drawn from rngs."""
        return jnp.zeros((*input_shape[:-1], self.hidden_features))

    @property
    def num_feature_axes(self):
        return 1'''
CELLS = {"recurrent": TREE, "lstm": LSTM, "gru": GRU}
"""The class of a cell: one that was found, and the ordinary ones, which have a bias in each gate."""
