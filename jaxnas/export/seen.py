"""The images that a network has learnt from: what it expects of others."""

import json
from dataclasses import dataclass

import numpy as np

SHOWN = 20
"""Class names on a page, at most."""


@dataclass(frozen=True)
class Seen:
    """Images that were trained on.

    Attributes:
        least: value in them.
        greatest: likewise.
        dtype: as which they were stored, of whole numbers.
        layout: of a batch, "NHWC".
        class_names: in the order of the labels; none where they have no names.
        whiten: each image was given mean 0 and standard deviation 1, in place of each channel over all of them.
    """

    least: int
    greatest: int
    dtype: str = "uint8"
    layout: str = "NHWC"
    class_names: tuple[str, ...] = ()
    whiten: bool = False

    @property
    def range(self) -> str:
        """In words."""
        return f"{self.least}..{self.greatest}"

    @property
    def lowest(self) -> int:
        """What no image of this kind falls below, however dark it is."""
        return int(np.iinfo(self.dtype).min)

    @property
    def most(self) -> int:
        """What no image of this kind exceeds: twice the greatest value that was seen, within the type."""
        return min(2 * max(self.greatest, 1), int(np.iinfo(self.dtype).max))

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
