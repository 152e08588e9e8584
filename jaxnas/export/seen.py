"""The images that a network has learnt from: what it expects of others."""

import json
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

SHOWN = 20
"""Class names on a page, at most."""
FRACTIONS = 16
"""Greatest value, at most, of floats that have been standardised: a whole batch of them may lie below 1."""


@dataclass(frozen=True)
class Seen:
    """Images that were trained on.

    Attributes:
        least: value in them.
        greatest: likewise.
        dtype: as which they were stored: "uint8" or "float32".
        layout: of a batch, "NHWC".
        class_names: in the order of the labels; none where they have no names.
        whiten: each image was given mean 0 and standard deviation 1, in place of each channel over all of them.
    """

    least: int | float
    greatest: int | float
    dtype: str = "uint8"
    layout: str = "NHWC"
    class_names: tuple[str, ...] = ()
    whiten: bool = False

    @property
    def range(self) -> str:
        """In words."""
        return f"{self.least:.7g}..{self.greatest:.7g}"

    @property
    def whole(self) -> bool:
        """Whether they are whole numbers."""
        return np.issubdtype(self.dtype, np.integer)

    @property
    def lowest(self) -> int | float:
        """What no image of this kind falls below, however dark it is: of floats, a whole range below the least that was
        seen.
        """
        return int(np.iinfo(self.dtype).min) if self.whole else self.least - self._width

    @property
    def most(self) -> int | float:
        """What no image of this kind exceeds: twice the greatest value that was seen, within the type; of floats, a
        whole range above it.
        """
        if not self.whole:
            return self.greatest + self._width
        return min(2 * max(self.greatest, 1), int(np.iinfo(self.dtype).max))

    @property
    def scaled(self) -> int:
        """Images of floats 0..1 are of another scale where the greatest value that was seen exceeds this."""
        return 1 if self.whole else FRACTIONS

    @property
    def other(self) -> str:
        """A scale that people use and these images do not have."""
        return "0..255" if self.greatest <= FRACTIONS / 2 else "0..1"

    @property
    def _width(self) -> float:
        return self.greatest - self.least or max(abs(self.greatest), 1.0)

    def noise(self, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        """Images of this range, the same ones every time."""
        draw = np.random.default_rng(0)
        if self.whole:
            return draw.integers(self.least, self.greatest + 1, shape).astype(np.float32)
        return draw.uniform(self.least, self.greatest, shape).astype(np.float32)

    @property
    def names(self) -> str:
        """The class names in a sentence."""
        if not self.class_names:
            return "The classes have no names."
        shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in self.class_names[:SHOWN])
        more = f" and {len(self.class_names) - SHOWN} more" if len(self.class_names) > SHOWN else ""
        return f"The classes are, in the order of the logits, {shown}{more}."

    def facts(self) -> dict:
        """As JSON values, for architecture.json."""
        names = list(self.class_names) or None
        return {
            "range": [self.least, self.greatest], "dtype": self.dtype, "layout": self.layout, "class_names": names,
        }  # fmt: skip


def seen_of(data: dict) -> Seen:
    """Of what is recorded of the training data.

    Raises:
        ValueError: a training that did not record it yet.
    """
    if "range" not in data:
        raise ValueError(
            "this final training was made before the range of its images was recorded, so that an export could not "
            "say what they must be like: move the training away and run `python -m jaxnas final` again"
        )
    least, greatest = data["range"]
    names = tuple(data["class_names"] or ())
    return Seen(least, greatest, data["dtype"], data["layout"], names, data.get("whiten", False))
