"""params -> data/demo/NNN/NN.png: synthetic sequences, so that a fresh clone needs no download."""

from pathlib import Path

from tqdm import tqdm

from convlstm.demo import digits, rain
from convlstm.ingest import images
from convlstm.params.groups import Demo
from convlstm.runtime import files
from stages import start

DEMO = Path("data/demo")


def main(params: Demo) -> None:
    """Write a folder for each sequence, a PNG for each frame."""
    size = {"frames": params.demo_frames, "size": params.demo_size, "seed": params.demo_seed}
    drawn_from = digits.load(Path(params.demo_digits)) if params.demo_kind == "digits" else None
    with files.replacing_folder(DEMO) as demo:
        for index in tqdm(range(params.demo_sequences), "demo", unit=" sequences"):
            sequence = (
                rain.sequence(**size, index=index)
                if drawn_from is None
                else digits.sequence(drawn_from, **size, index=index)
            )
            folder = demo / f"{index:03d}"
            folder.mkdir()
            for time, frame in enumerate(sequence):
                images.write(folder / f"{time:02d}.png", frame[None])


if __name__ == "__main__":
    start(main, Demo)
