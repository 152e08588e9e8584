"""jaxnas: neural architecture search by reinforcement learning, on JAX.

A controller samples a batch of architectures; the children, all different, train together in one compiled program;
their validation scores become a policy gradient.
"""
