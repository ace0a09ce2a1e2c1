"""ConvLSTM forecasts of the next frames of anything that moves on a grid.

    import convlstm

    forecast = convlstm.load("model.safetensors").predict(frames)

Names are imported when they are first used, so that no stage of the pipeline depends on modules
that it does not run.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convlstm.forecast.forecaster import load as load

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from convlstm.forecast.forecaster import load

        return load
    if name == "__version__":
        from convlstm.version import VERSION

        return VERSION
    raise AttributeError(f"module 'convlstm' has no attribute '{name}'")
