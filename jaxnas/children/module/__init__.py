"""Networks that a user has written: an NNX class, a Linen class, or a pair of functions, called with values."""

from jaxnas.children.module.architecture import ModuleChildren

__all__ = ["ModuleChildren"]
