"""What the pages beside exported files have in common."""

import jax
from flax import __version__ as flax_version

from jaxnas.export.artifact import PLATFORMS
from jaxnas.outcome import Measure
from jaxnas.report import draw, final_lines


def filled(page: str, description: dict, facts: dict, **more: object) -> str:
    """A page, in Markdown, with what it says of one network.

    Args:
        page: with names in braces: ``result``, ``which``, ``drawing``, ``jax``, ``flax``, ``platforms`` and those of
            ``more``.
        description: of the architecture, as the ledger has it.
        facts: the recorded final training.
        more: what only this kind of network has.
    """
    scores, measure = facts["test_scores"], Measure(facts.get("measure", Measure.SCORE))
    first = next(i for i, score in enumerate(scores) if score is not None)
    which = f"\nThese files hold the network of seed {first + 1}, with test score {measure.words(scores[first])}.\n"
    return page.format(
        result=final_lines(facts),
        which=which if len(scores) > 1 else "",
        drawing=draw(description),
        jax=jax.__version__,
        flax=flax_version,
        platforms=", ".join(PLATFORMS),
        **more,
    )
