"""A function that another process can load: by its module, or by the file that it stands in, and its name; and one that
only this process has.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from jaxnas.code import of_function

CONFIG = "jaxnas_config"
"""As which `jaxnas.setup` executes a config."""
REMEDY = (
    "give one that is written with `def` at the top of the config, or of a module that it imports; or processes=0, "
    "which calls it in this process, without a timeout"
)


class Function:
    """A function by name. It is written ``module:name``, the same in each process; of a config's own the module is
    "jaxnas_config", wherever the config lies.

    Raises:
        ValueError: the function cannot be found by its name, or does not take values.

    Attributes:
        arguments: 2 where it takes (values, seed), 1 where it takes values alone.
    """

    def __init__(self, fn: Callable):
        self.call = fn
        self.module, self.name = _name(fn)
        self._names = _names(fn, self.module)
        _check_found(fn, self.name, self._names)
        self.arguments = _arguments(fn, self.name)
        spec = self._names.get("__spec__")
        if spec is not None:
            self.module = spec.name  # of what `python -m` runs, not "__main__"

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __repr__(self) -> str:
        """The same where a config runs as a script."""
        return f"{CONFIG if self.module == '__main__' else self.module}:{self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def start(self) -> dict:
        """What a worker needs to load it: see ``worker.loaded``.

        A file that no import finds is read here, once, so that all workers have the same.
        """
        spec, file = self._names.get("__spec__"), Path(self._names["__file__"]).absolute()
        about = {"module": self.module, "name": self.name, "file": str(file)}
        if spec is None:
            return about | {"path": [*sys.path, str(file.parent)], "source": file.read_bytes()}
        inside = self.module.count(".") + (spec.submodule_search_locations is not None)
        return about | {"path": [*sys.path, str(file.parents[inside])], "source": None}


class OfThisProcess:
    """A function that no other process could load, such as a lambda or one of a notebook's cell. It is called here.

    Written, it has a digest of its code beside its name, so that a changed one is another. (What it calls, or reads of
    the names around, is not looked at.)

    Attributes:
        file: in which it was written, as Python has it.
        arguments: as of a `Function`.

    Raises:
        ValueError: it does not take values.
    """

    def __init__(self, fn: Callable):
        self.call = fn
        self.name = fn.__qualname__ if isinstance(fn, FunctionType) else type(fn).__qualname__
        self.arguments = _arguments(fn, self.name)
        self.file = fn.__code__.co_filename if isinstance(fn, FunctionType) else ""
        self._written = of_function(fn)

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __repr__(self) -> str:
        return self._written

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OfThisProcess) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))


def named(fn: Callable, here: bool) -> Function | OfThisProcess:
    """A function as workers load it; where calls are made ``here``, also one that they could not.

    Raises:
        ValueError: it cannot be found by its name, and calls are made elsewhere; it does not take values.
    """
    fn = fn.call if isinstance(fn, OfThisProcess) else fn
    if isinstance(fn, Function):
        return fn
    return OfThisProcess(fn) if here and not loadable(fn) else Function(fn)


def loadable(fn: Callable) -> bool:
    """Whether another process can load a function by its name."""
    try:
        module, name = _name(fn)
        _check_found(fn, name, _names(fn, module))
    except ValueError:
        return False
    return True


def class_name(kind: type) -> str:
    """A class as a worker names it."""
    main = sys.modules["__main__"].__spec__
    module = main.name if kind.__module__ == "__main__" and main is not None else kind.__module__
    return f"{module}:{kind.__qualname__}"


def _name(fn: Callable) -> tuple[str, str]:
    try:
        module, name = fn.__module__, fn.__qualname__
    except AttributeError:
        raise ValueError(f"fn={fn!r} has no name of its own, by which workers would load it: {REMEDY}") from None
    if "<lambda>" in name:
        raise ValueError(f"fn is a lambda, which has no name by which workers would load it: {REMEDY}")
    if "<locals>" in name:
        raise ValueError(f"fn={name} stands inside another function, where workers do not find it: {REMEDY}")
    return module, name


def _names(fn: Callable, module: str) -> Mapping[str, Any]:
    """The names of the file that the function stands in."""
    own = fn.__globals__ if isinstance(fn, FunctionType) else {}
    names = own if own.get("__name__") == module else vars(sys.modules[module]) if module in sys.modules else {}
    if not Path(names.get("__file__") or "").is_file():
        raise ValueError(f"fn={fn.__qualname__} stands in no file, from which workers would load it: {REMEDY}")
    return names


def _check_found(fn: Callable, name: str, names: Mapping[str, Any]) -> None:
    first, *rest = name.split(".")
    found = names.get(first)
    for part in rest:
        found = getattr(found, part, None)
    if found is not fn:
        raise ValueError(
            f"fn={name} is not what {names['__file__']} calls {name}, and workers load it from there: {REMEDY}"
        )


def _arguments(fn: Callable, name: str) -> int:
    """How many of (values, seed) a function takes."""
    try:
        signature = inspect.signature(fn)
    except ValueError:  # a function written in C says nothing of its arguments
        return 2
    try:
        signature.bind({}, 0)
        return 2
    except TypeError as error:
        why = error
    try:
        signature.bind({})
        return 1
    except TypeError:
        raise ValueError(f"fn={name} is called with (values, seed) or (values): {why}") from None
