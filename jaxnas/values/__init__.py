"""Values that a search decides: numbers within a range and one of several, by name, and under which conditions."""

from jaxnas.values.kinds import Categorical, Float, Int, Scalar, Value
from jaxnas.values.named import Named

__all__ = ["Categorical", "Float", "Int", "Named", "Scalar", "Value"]
