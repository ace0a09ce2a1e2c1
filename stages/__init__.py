"""The stages of the pipeline, run as `python -m stages.NAME` from the root of the repository."""

import sys

from convlstm.runtime import exits

if sys.argv[0] == "-m":  # Python says so while it looks for the stage, which loads libraries
    exits.before_loading()
