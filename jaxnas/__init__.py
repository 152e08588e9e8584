"""jaxnas: neural architecture search by reinforcement learning, on JAX.

A controller samples a batch of architectures; the children, all different, train together in one compiled program;
their validation scores become a policy gradient.
"""

import os

LEAST_THREADS = 8
"""XLA's pool on CPU has as many threads as there are cores or devices, whichever is more, and a matrix product with
long sums adds them in an order that depends on it. With 8 at least, up to 8 devices give the same numbers."""
os.environ.setdefault("NPROC", str(max(LEAST_THREADS, os.cpu_count() or 1)))  # XLA reads it when it makes the pool
