"""Which replica a request goes to."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.replicas import Integers, Shape
from benchmarks.autoscaling.service import Floats

Balancing = Literal["random", "least"]
"""``random``: as kube-proxy picks one for a connection. ``least``: of two random ones that with
fewer requests in it, as Envoy's LEAST_REQUEST does."""


def share_out(
    draws: Floats, ready: npt.NDArray[np.int64], shape: Shape, in_flight: Integers | None
) -> Integers:
    """Arrivals of each replica in one step.

    Args:
        draws: float64 [2, requests], uniform in [0, 1); the same for all clusters, so that they
            differ by nothing but their autoscalers.
        ready: int64 [clusters], replicas that take requests, each at least 1.
        shape: of the arrays.
        in_flight: int64 [clusters * replicas], requests in each replica; None: choose at random.

    Returns:
        int64 [clusters * replicas].
    """
    first = np.arange(shape.clusters)[:, None] * shape.replicas
    one = first + (draws[0] * ready[:, None]).astype(np.int64)
    if in_flight is not None:
        other = first + (draws[1] * ready[:, None]).astype(np.int64)
        one = np.where(in_flight[other] < in_flight[one], other, one)
    return np.bincount(one.ravel(), minlength=shape.size)
