"""Frames whose future is unknown -> the frames that follow, in the units and the kind of the input.

`python -m stages.forecast FRAMES OUT` uses the model of the pipeline. It is no stage of the
pipeline, and the installed command `convlstm-forecast MODEL FRAMES OUT` does the same.
"""

import sys

from convlstm.forecast.command import run

MODEL = "data/model.safetensors"

if __name__ == "__main__":
    run(sys.argv[1:], prog="python -m stages.forecast", default_model=MODEL)
