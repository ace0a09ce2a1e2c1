"""The input of a forecast: the last frames that are known, and what their numbers mean."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Num

from convlstm.forecast.params import Forecast
from convlstm.ingest.sources import Source
from convlstm.patch.conversion import Conversion
from convlstm.storage.meaning import NOTHING_SAID, Channel, Meaning, Quantity, quantities


@dataclass(frozen=True)
class Known:
    """Frames as their files hold them, the files, how these were read, and what they say."""

    source: Source
    context: Num[np.ndarray, "time channel row col"]
    params: Forecast
    meaning: Meaning = NOTHING_SAID

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The meaning of each channel, empty where the files say nothing."""
        return self.meaning.of_each(self.context.shape[1])

    @cached_property
    def conversion(self) -> Conversion:
        """The conversion of the frames."""
        scaling = self.params.scaling(self.context.shape[1])
        return Conversion(scaling, self.channels, self.context.dtype)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The channels that are drawn together."""
        ranges = self.conversion.scaling.value_range
        return quantities(self.channels, ranges, self.context.dtype)

    def physical(self) -> Float[np.ndarray, "time channel row col"]:
        """Return the frames in physical values, NaN where nothing was measured."""
        values = self.conversion.physical(self.context).astype(np.float32)
        return np.where(self.conversion.is_missing(self.context), np.float32("nan"), values)

    def never_measured(self) -> Bool[np.ndarray, "channel row col"]:
        """Return where no frame has a measured pixel."""
        return np.asarray(self.conversion.is_missing(self.context).all(axis=0))
