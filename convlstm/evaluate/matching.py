"""Single pictures of an ensemble, which are scored beside its mean.

The mean is nearest to the truth pixel by pixel, and too smooth for a picture of rain.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

Members = Float[np.ndarray, "member time channel row col"]
Picture = Float[np.ndarray, "time channel row col"]


def probability_matched_mean(members: Members) -> Picture:
    """Return the values of the members, pooled, at the places that their mean ranks.

    Ebert 2001 (doi:10.1175/1520-0493(2001)129<2461:AOAPMS>2.0.CO;2): the largest pixel of a frame
    of the mean gets the largest value and so on, of M values that follow each other the middle one.
    """
    count, shape = len(members), members.shape[1:]
    places = members.mean(axis=0).reshape(*shape[:2], -1).argsort(axis=-1, kind="stable")
    pooled = np.moveaxis(members, 0, 2).reshape(*shape[:2], -1)
    matched = np.empty(places.shape, members.dtype)
    values = np.sort(pooled, axis=-1)[..., count // 2 :: count]
    np.put_along_axis(matched, places, values, axis=-1)
    return np.asarray(matched.reshape(shape))


def first_member(members: Members) -> Picture:
    """Return one member: its spectrum and its CSI are those of any other."""
    return np.asarray(members[0])


PICTURES: Mapping[str, Callable[[Members], Picture]] = {
    "pm_mean": probability_matched_mean,
    "member": first_member,
}
"""The pictures by the name of the forecaster in the tables."""
