"""Model file -> an ONNX file for other programs, and a card that says what the model is.

`python -m stages.export OUT.onnx` writes OUT.onnx and OUT.md, `python -m stages.export OUT.md` the
card alone. It is no stage of the pipeline. ONNX needs the extra `onnx`, and a minute or two.
"""

import sys

from convlstm.export.command import run
from stages.forecast import MODEL

if __name__ == "__main__":
    run(sys.argv[1:], prog="python -m stages.export", default_model=MODEL)
