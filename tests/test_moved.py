"""Rotation, shift and vertical flip of training images: scipy's numbers, uniform draws, and nothing else changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from scipy import ndimage, stats

from jaxnas.rng import key_for
from jaxnas.tasks.augment import Augment, moved

RNG = np.random.default_rng(0)
SHAPES = [(9, 9, 1), (7, 12, 3), (28, 20, 1), (1, 6, 2), (8, 8, 4)]
MODE = {"order": 1, "mode": "grid-constant"}
"""Bilinear, the image lying among zeros."""
KEY = key_for(0, "augment")


def image(shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def together():
    return jax.jit(jax.vmap(moved, in_axes=(None, 0, 0)))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_moved_as_scipy_moves_it(shape, together):
    """By `rotate` alone, by `shift` alone, and by both as one map (`affine_transform`), many under one vmap."""
    x = image(shape)
    degrees = np.array([0, 20, -73.5, 90, 180, 12.25, 0, 0, 33, -170], np.float32)
    pixels = np.array([[0, 0]] * 6 + [[1, -2], [0.3, 2.6], [-1.75, 0.5], [40, 0]], np.float32)
    found = np.asarray(together(x, degrees, pixels))
    exact = x.astype(np.float64)
    middle = (np.array(shape[:2]) - 1) / 2
    for out, angle, step in zip(found, degrees.astype(np.float64), pixels.astype(np.float64), strict=True):
        if not step.any():
            wanted = ndimage.rotate(exact, angle, reshape=False, **MODE)
        elif not angle:
            wanted = ndimage.shift(exact, (*step, 0), **MODE)
        else:
            c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            turn = np.array([[c, s], [-s, c]])
            whole = np.eye(3)
            whole[:2, :2] = turn
            offset = (*(middle - turn @ (middle + step)), 0)
            wanted = ndimage.affine_transform(exact, whole, offset, **MODE)
        np.testing.assert_allclose(out, wanted, atol=3e-5)
    assert np.abs(found[0] - x).max() == 0
    assert (found[-1] == 0).all()


def drawn(augment: Augment, number=2000) -> tuple[np.ndarray, np.ndarray]:
    """Angles and shifts (in shares of the sides) that a batch was moved by, read off a plane of known slope."""
    rows, columns = np.meshgrid(np.arange(41.0), np.arange(31.0), indexing="ij")
    plane = np.stack([rows - 20, columns - 15], -1).astype(np.float32)
    out = np.asarray(jax.jit(augment)(jnp.tile(plane, (number, 1, 1, 1)), KEY), np.float64)[:, 18:23, 13:18]
    slope = (out[:, -1, 2] - out[:, 0, 2]) / 4  # of rows: (cosine, -sine)
    angles = np.degrees(np.arctan2(-slope[:, 1], slope[:, 0]))
    turned = out[:, 2, 2]  # the middle comes from minus the shift, turned
    c, s = slope[:, 0], -slope[:, 1]
    steps = -np.stack([c * turned[:, 0] - s * turned[:, 1], s * turned[:, 0] + c * turned[:, 1]], -1)
    return angles, steps / [41, 31]


@pytest.mark.parametrize(("rotation", "shift"), [(20, 0), (0, 0.2), (35, 0.15)])
def test_angles_and_shifts_are_uniform_and_independent(rotation, shift):
    angles, steps = drawn(Augment(rotation=rotation, shift=shift))
    uniform = lambda found, most: stats.kstest(found, stats.uniform(-most, 2 * most).cdf).pvalue
    for found, most in ((angles, rotation), (steps[:, 0], shift), (steps[:, 1], shift)):
        if most:
            assert uniform(found, most) > 0.01
        else:
            np.testing.assert_allclose(found, 0, atol=1e-3)
    if rotation and shift:
        assert np.abs(np.corrcoef([angles, *steps.T]) - np.eye(3)).max() < 0.08  # 3.6 standard deviations


def test_vertical_flip_mirrors_half_of_the_images_independently_of_the_other():
    x = image((1000, 3, 4, 1))
    out = np.asarray(Augment(flip_vertical=True)(jnp.asarray(x), KEY))
    mirrored = (out == x[:, ::-1]).all((1, 2, 3))
    assert (mirrored | (out == x).all((1, 2, 3))).all()
    assert 450 < mirrored.sum() < 550  # expected 500, standard deviation 16
    both = np.asarray(Augment(flip=True, flip_vertical=True)(jnp.asarray(x), KEY))
    ways = [(both == x[:, ::v, ::h]).all((1, 2, 3)).sum() for v in (1, -1) for h in (1, -1)]
    assert sum(ways) == 1000
    assert min(ways) > 200  # expected 250, standard deviation 14


def test_what_was_there_before_draws_the_same_numbers_beside_the_new_kinds():
    """A shift that moves nothing: flip and crop are those of a setting without it."""
    x = jnp.asarray(image((64, 6, 5, 2)))
    old = Augment(pad=1, flip=True, cutout=3)
    still = Augment(pad=1, flip=True, cutout=3, shift=1e-12)
    np.testing.assert_array_equal(jax.jit(still)(x, KEY), jax.jit(old)(x, KEY))


def test_nothing_scatters_whatever_the_platform():
    turn = jax.jit(Augment(rotation=20, shift=0.2, flip_vertical=True))
    for platform in ("cpu", "cuda", "tpu"):
        text = turn.trace(jnp.ones((4, 6, 5, 2)), KEY).lower(lowering_platforms=(platform,)).as_text()
        assert "gather" in text
        assert "scatter" not in text


def test_settings_out_of_range_are_refused():
    for name, value in {"rotation": 181, "shift": 1.5}.items():
        refused(lambda name=name, value=value: Augment(**{name: value}), f"{name}={value}", "from 0 to")
