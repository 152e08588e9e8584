"""The values of a user's own network."""

from typing import Annotated, Any

import tyro

from jaxnas.children.module import ModuleChildren
from jaxnas.children.module.definition import check
from jaxnas.inputs import Inputs
from jaxnas.spaces.named import ValueSpace


class ModuleSpace(ValueSpace):
    """A network of the user's own, called with values that are searched.

        class Net(nnx.Module):
            def __init__(self, inputs, outputs, *, width, dropout, rngs): ...
            def __call__(self, x): ...

        space = ModuleSpace(Net, width=Int(16, 256, log=True), dropout=Float(0.0, 0.6))

    ``Net`` is an NNX class, a Linen class or two functions ``(init, apply)``, see
    `jaxnas.children.module.definition`. Children whose static values are equal share a program; numbers of type `Float`
    are traced, and so are an `Int` or numbers of a `Categorical` with ``static=False``: as arrays, an `Int` as a
    `jaxnas.elastic.Size`. A value that does not exist beside the others is not given: the network needs a default.

    An architecture is a dictionary of the values that exist.

    Raises:
        ValueError: no network, a value for which it has no argument, or an argument without a value.
    """

    own = (("net", Annotated[Any, tyro.conf.Fixed]),)

    def __new__(cls, net: Any = None, **values: Any) -> Any:
        return super().__new__(cls, net, **values)

    def __post_init__(self):
        check(self.net, self.values.values)
        _ = self.decisions  # conditions are checked

    def traced(self, name: str) -> bool:
        """See `NamedValues`."""
        return not self.values.values[name].static

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> ModuleChildren:
        """The network on examples of this shape. Raises ValueError: factors that it does not know."""
        if dtype == "bfloat16":
            raise ValueError(
                f"dtype={dtype!r}: a network of your own computes in the types that it says: leave Train.dtype at "
                "float32 or tfloat32"
            )
        return ModuleChildren(self.net, tuple(self.values.values.items()), Inputs.of(input_shape), classes, dtype)
