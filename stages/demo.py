"""params -> data/demo/NNN/NN.png: synthetic rain, so that a fresh clone needs no download."""

from pathlib import Path

from tqdm import tqdm

from convlstm import frames, rain
from convlstm.params import Demo
from stages import start

DEMO = Path("data/demo")


def main(params: Demo) -> None:
    """Write a folder for each sequence, a PNG for each frame."""
    for index in tqdm(range(params.demo_sequences), "demo", unit=" sequences"):
        sequence = rain.sequence(
            frames=params.demo_frames, size=params.demo_size, seed=params.demo_seed, index=index
        )
        folder = DEMO / f"{index:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for time, frame in enumerate(sequence):
            frames.write_png(folder / f"{time:02d}.png", frame)


if __name__ == "__main__":
    start(main, Demo)
