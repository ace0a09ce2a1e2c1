"""The params of a forecast: how the frames that it starts from are read and scaled."""

from convlstm.ingest.params import Reading
from convlstm.patch.scaling import Values


class Forecast(Reading, Values):
    """How the frames are read, and which of their numbers become 0 and 1 or mean missing."""
