"""A user's own network on tables and ratings: what it is told of them."""

import pytest
from flax import nnx
from refusals import refused

from jaxnas.children import alone
from jaxnas.spaces import ModuleSpace
from jaxnas.tasks import Ratings, Tabular
from jaxnas.values import Categorical


class Rates(nnx.Module):
    """A user's and an item's row of a table, and their product."""

    def __init__(self, inputs, outputs, *, width, rngs):
        users, items = inputs.values
        self.inputs = inputs
        self.users, self.items = nnx.Embed(users, width, rngs=rngs), nnx.Embed(items, width, rngs=rngs)
        self.out = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        return self.out(self.users(x[:, 0]) * self.items(x[:, 1]))


class Tells(nnx.Module):
    """Of the features of a table."""

    def __init__(self, inputs, outputs, *, width, rngs):
        [features] = inputs
        self.hidden, self.out = nnx.Linear(features, width, rngs=rngs), nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


@pytest.mark.parametrize(
    ("net", "task", "parameters"),
    [(Rates, Ratings(), 4 * (201 + 121) + 4 + 1), (Tells, Tabular("wine"), 13 * 4 + 4 + 4 * 3 + 3)],
)
def test_a_network_is_told_what_it_reads(net, task, parameters):
    data, space = task.search_data(0), ModuleSpace(net, width=Categorical(4))
    children = space.children(data.input_shape, data.classes)
    assert alone(children, {"width": 4}).parameters == parameters
    wrong = space.children(data.input_shape, data.classes + 1)
    assert alone(wrong, {"width": 4}).parameters > parameters


def test_a_network_that_gives_other_outputs_is_refused():
    class Wrong(Tells):
        def __call__(self, x):
            return super().__call__(x)[:, 0]

    data = Tabular("diabetes", regression=True).search_data(0)
    children = ModuleSpace(Wrong, width=Categorical(4)).children(data.input_shape, data.classes)
    refused(lambda: alone(children, {"width": 4}), "gives (2,)", "has to give outputs of (2, 1), 1 for each example")
