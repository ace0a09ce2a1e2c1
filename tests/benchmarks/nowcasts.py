"""The nowcasts of pysteps (the extra `rivals`), as forecasters of one window.

Pulkkinen et al. 2019 (doi:10.5194/gmd-12-4185-2019). S-PROG and STEPS get values in [0, 1] that are
linear in dB, the unit in which they think; LINDA gets mm/h. All get NaN where nothing was measured,
and as many frames for the motion as our own extrapolation, which served them better on validation
windows than three.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from convlstm.model.motion import PAIRS

RAIN = 0.01  # of the range: less is no rain; of .01, .07 and .14 the best on validation windows
AR_FRAMES = 3  # of the autoregressions of second order, and of LINDA's differences
SEED = 0

Context = Float[np.ndarray, "*time row col"]
Members = Float[np.ndarray, "member lead channel row col"]


@dataclass(frozen=True)
class Units:
    """What pysteps must know of the frames.

    `km` and `minutes` are the size of a pixel and the time from frame to frame, by which motion is
    perturbed. `dbz` are the reflectivities of 0 and 1, which LINDA alone needs.
    """

    km: float
    minutes: float
    dbz: tuple[float, float]

    def rain_rate(self, seen: Context) -> Context:
        """Return mm/h, by Marshall and Palmer 1948: Z = 200 R^1.6."""
        low, high = self.dbz
        rate = (10 ** ((low + seen * (high - low)) / 10) / 200) ** (1 / 1.6)
        return np.asarray(np.where(seen < RAIN, 0, rate))

    def unit(self, rate: Context) -> Context:
        """Return the values whose rate of rain it is; 0 for none."""
        low, high = self.dbz
        with np.errstate(divide="ignore", invalid="ignore"):
            dbz = 10 * np.log10(200 * rate**1.6)
        return np.asarray(np.where(rate > 0, (dbz - low) / (high - low), 0))


class Nowcast:
    """One nowcast of pysteps.

    Where it fails, as on frames without enough rain, pysteps' extrapolation stands in; `failures`
    has the reasons.

    Args:
        method: its name in pysteps.
        members: of an ensemble; extrapolation and S-PROG have one.
        units: of the frames.
    """

    def __init__(self, method: str, members: int, units: Units) -> None:
        motion, nowcasts = _pysteps()
        options = {**OPTIONS[method]}
        if method in ENSEMBLES:
            options |= {"n_ens_members": members, "seed": SEED}
            options |= {"kmperpixel": units.km, "timestep": units.minutes}
        self.method, self.units = method, units
        self.members = members if method in ENSEMBLES else 1
        self.failures: list[str] = []
        self._motion = motion.get_method("LK")
        self._extrapolate = nowcasts.get_method("extrapolation")
        self._nowcast = partial(nowcasts.get_method(method), **options)

    def __call__(
        self,
        context: Float[np.ndarray, "time 1 row col"],
        mask: Bool[np.ndarray, "time 1 row col"],
        leads: int,
    ) -> Members:
        """Forecast; what enters from outside is 0, as in our own extrapolation."""
        seen = np.where(mask, context, np.nan)[:, 0].astype(np.float64)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of means of nothing, where all is missing
            velocity = self._motion(seen[-1 - PAIRS :])
            try:
                found = self._forecast(seen, velocity, leads)
            except Exception as error:  # it raises what NumPy, SciPy or its own checks raise
                self.failures.append(" ".join(str(error).split()))
                found = self._extrapolate(seen[-1], velocity, leads)
                found = np.repeat(found[None], self.members, axis=0)
        frames = np.nan_to_num(found, nan=0.0).clip(0, 1).astype(np.float32)
        return np.asarray(frames.reshape(-1, leads, *context.shape[1:]))

    def _forecast(self, seen: Context, velocity: Any, leads: int) -> Any:
        last = seen[-AR_FRAMES:]
        match self.method:
            case "extrapolation":
                return self._nowcast(seen[-1], velocity, leads)
            case "linda":
                rates = self._nowcast(self.units.rain_rate(last), velocity, leads)
                return self.units.unit(rates)
            case _:
                return self._nowcast(last, velocity, leads)


CASCADE = {"precip_thr": RAIN, "norain_thr": 0.0}
OPTIONS: Mapping[str, dict[str, Any]] = {
    "extrapolation": {},
    "sprog": CASCADE,
    "steps": CASCADE,
    "linda": {"feature_method": "domain"},  # its detectors find none in a light rain
}
"""What differs from the defaults of pysteps, by method."""
ENSEMBLES = ("steps", "linda")


def _pysteps() -> tuple[Any, Any]:
    """Import what is needed of pysteps, which prints where its configuration lies."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            from pysteps import motion, nowcasts
        except ModuleNotFoundError:
            raise SystemExit("pysteps is not installed: pip install '.[rivals]'") from None
    return motion, nowcasts
