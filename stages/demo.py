"""params -> data/demo/NNN/NN.png: synthetic sequences, so that a fresh clone needs no download.

The shipped demo takes half a minute and 20 MB; it runs as `python -m stages.demo`.
"""

from pathlib import Path

from PIL import Image

from convlstm.demo import digits, rain
from convlstm.demo.params import Demo
from convlstm.runtime import files
from stages.launch import start
from stages.progress import bar

DEMO = Path("data/demo")


def main(params: Demo) -> None:
    """Write a folder per sequence and a PNG per frame."""
    size = {"frames": params.demo_frames, "size": params.demo_size, "seed": params.demo_seed}
    drawn_from = digits.load(Path(params.demo_digits)) if params.demo_kind == "digits" else None
    count = params.demo_sequences
    with files.replacing_folder(DEMO) as demo, bar("demo", count, "sequences") as progress:
        for index in range(count):
            sequence = (
                rain.sequence(**size, index=index)
                if drawn_from is None
                else digits.sequence(drawn_from, **size, index=index)
            )
            folder = demo / f"{index:03d}"
            folder.mkdir()
            for time, frame in enumerate(sequence):
                Image.fromarray(frame).save(folder / f"{time:02d}.png")
            progress.update()


if __name__ == "__main__":
    start(main, Demo)
