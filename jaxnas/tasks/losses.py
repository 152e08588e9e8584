"""What a network's logits lack, in a form for each platform.

Letters: K classes or symbols.
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int


def cross_entropy(logits: Float[Array, "*B K"], labels: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Of each prediction, in nats; labels from 0 to K - 1.

    The form is that of the platform which the program is compiled for. On CPU the label's logit is looked up, and its
    gradient scattered, which takes two thirds of the time of the other form where there are thousands of symbols;
    elsewhere it is selected among all, since a scatter is slow there, or adds in no certain order. Forward the results
    are the same to the bit.
    """
    by_label = optax.softmax_cross_entropy_with_integer_labels
    return lax.platform_dependent(logits, labels, cpu=by_label, default=_by_selection)


def _by_selection(logits, labels):
    own = labels[..., None] == jnp.arange(logits.shape[-1])
    return jax.nn.logsumexp(logits, -1) - jnp.where(own, logits, 0).sum(-1)


def uniform(logits: Float[Array, "*B K"]) -> Float[Array, "*B"]:
    """Cross-entropy with all K classes alike, in nats: what label smoothing adds a share of (Szegedy et al., Rethinking
    the Inception Architecture for Computer Vision, 2016, section 7, https://arxiv.org/abs/1512.00567).
    """
    return jax.nn.logsumexp(logits, -1) - logits.mean(-1)
