"""Measures the reader of each kind of raw file beside the bare library that it stands on.

`python -m tests.benchmarks.readers [--frames 100] [--size 512] [--rounds 3] [--kinds png,gif]`
prints a row for each kind: an ingest of the frames in frames/s and in ms of CPU time per frame, of
these what the reader takes, and what the library takes that only decodes; the reader's share of the
library's rate (in CPU time), and that of the whole ingest (on the clock). These run interleaved in
one process; times are medians, ratios medians of those of one round. Then the memory of an ingest,
in a process of its own, and how much more of it ten times the frames take.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import tifffile
import xarray as xr
import zarr
from jaxtyping import UInt8
from PIL import Image
from scipy.io import netcdf_file

from convlstm.demo import rain
from convlstm.ingest import readers, sources
from convlstm.ingest.params import Reading
from convlstm.runtime.errors import Faults
from tests.builders import reading_of, write_params

from .measuring import MORE, Cost, cost, exhaust, peak_megabytes
from .pipeline import ingest

DRAWN_FRAMES = 20  # which are repeated, for what is compared does not depend on it
COLUMNS = (
    *("kind", "frames/s", "ingest_ms", "reader_ms", "library_ms"),
    *("reader", "ingest", "peak_mb", "more_mb"),
)
WIDTH = 10  # of a column

Film = UInt8[np.ndarray, "time row col"]


@dataclass(frozen=True)
class Kind:
    """A kind of raw file: how its library writes and reads it, and how we are to read it."""

    raw: str
    write: Callable[[Path, Film], None]
    read: Callable[[Path], Iterable[Any]]
    reading: dict[str, Any] = field(default_factory=dict)


def a_file_each(
    write: Callable[[Path, Film], None], read: Callable[[Path], object], suffix: str, **reading: Any
) -> Kind:
    """Return the kind of a folder that holds a file for each frame."""

    def write_all(folder: Path, film: Film) -> None:
        folder.mkdir()
        for number, frame in enumerate(film):
            write(folder / f"{number:05d}{suffix}", frame)

    return Kind("frames", write_all, lambda folder: map(read, sorted(folder.iterdir())), reading)


def save_image(path: Path, frame: np.ndarray, **options: Any) -> None:
    Image.fromarray(frame).save(path, **options)


def open_image(path: Path) -> object:
    with Image.open(path) as image:
        return np.asarray(image)


def save_images(path: Path, film: Film, **options: Any) -> None:
    first, *others = (Image.fromarray(frame) for frame in film)
    first.save(path, save_all=True, append_images=others, **options)


def open_images(path: Path, *, mode: str | None = None) -> Iterator[object]:
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield np.asarray(image.convert(mode))


def save_pages(path: Path, film: Film) -> None:
    tifffile.imwrite(path, film, compression="zlib", photometric="minisblack")


def open_pages(path: Path) -> Iterator[object]:
    with tifffile.TiffFile(path) as file:
        yield from (page.asarray() for page in file.pages)


def open_map(path: Path) -> Iterator[object]:
    yield from map(np.array, np.load(path, mmap_mode="r"))


def open_archive(path: Path) -> Iterator[object]:
    with np.load(path) as archive:
        yield from archive["rain"]


def save_hdf5(path: Path, film: Film, *, name: str = "rain") -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=film, chunks=(1, *film.shape[1:]), compression="gzip")


def open_hdf5(path: Path, *, name: str = "rain") -> Iterator[object]:
    with h5py.File(path) as file:
        yield from (file[name][number] for number in range(len(file[name])))


def open_one(path: Path, *, name: str) -> object:
    with h5py.File(path) as file:
        return file[name][:]


def save_knmi(path: Path, frame: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("image1/image_data", data=frame, chunks=frame.shape, compression="gzip")
        file["image1"].attrs["image_geo_parameter"] = np.bytes_("REFLECTIVITY_[DBZ]")
        said: dict[str, Any] = {"calibration_formulas": np.bytes_("GEO=0.500000*PV+-32.000000")}
        said |= {"calibration_out_of_image": [255], "calibration_missing_data": [0]}
        file.create_group("image1/calibration").attrs.update(said)
        file.create_group("overview").attrs["product_datetime_end"] = moment(path, "%d-%b-%Y;%H:%M")
        edges = {"geo_pixel_size_x": [1.0], "geo_pixel_size_y": [-1.0]}
        edges |= {"geo_column_offset": [0.0], "geo_row_offset": [3650.0]}
        file.create_group("geographic").attrs.update(edges)
        proj = np.bytes_(
            "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.14 +b=6356.75 +x_0=0 y_0=0"
        )
        file.create_group("geographic/map_projection").attrs["projection_proj4_params"] = proj


def save_odim(path: Path, frame: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
        about = {
            "object": np.bytes_("COMP"),
            "date": moment(path, "%Y%m%d"),
            "time": moment(path, "%H%M"),
        }
        file.create_group("what").attrs.update(about)
        proj = np.bytes_(
            "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +units=m +ellps=WGS84"
        )
        file.create_group("where").attrs.update(projdef=proj, xscale=2000.0, yscale=2000.0)
        name = "dataset1/data1/data"
        file.create_dataset(name, data=frame, chunks=frame.shape, compression="gzip")
        said = {
            "quantity": np.bytes_("DBZH"),
            "gain": 0.5,
            "offset": -32.0,
            "nodata": 255.0,
            "undetect": 0.0,
        }
        file.create_group("dataset1/data1/what").attrs.update(said)


def moment(path: Path, form: str) -> np.bytes_:
    """Return the time of a frame, five minutes after that of the file before."""
    begin = np.datetime64("2021-02-03T00:00")
    time = (begin + 5 * int(path.stem) * np.timedelta64(1, "m")).item()
    seconds = {"%H%M": "00", "%d-%b-%Y;%H:%M": ":00.000"}.get(form, "")
    return np.bytes_(f"{time:{form}}{seconds}".upper())


def dataset(film: Film) -> xr.Dataset:
    """Return the film with the times, coordinates and scale of a file of CF."""
    rows, cols = film.shape[1:]
    about = {"units": "mm/h", "scale_factor": 0.1, "_FillValue": np.uint8(255)}
    times = ("time", 5 * np.arange(len(film)), {"units": "minutes since 2021-02-03"})
    coords = {"time": times, "y": np.arange(rows), "x": np.arange(cols)}
    return xr.Dataset({"rain": (("time", "y", "x"), film, about)}, coords=coords)


def save_netcdf3(path: Path, film: Film) -> None:
    whole = dataset(film.astype(np.int16))  # it knows no bytes without sign
    whole.rain.attrs["_FillValue"] = np.int16(255)
    whole.to_netcdf(path, engine="scipy")


def open_netcdf3(path: Path) -> Iterator[object]:
    with netcdf_file(path, mmap=True) as file:
        yield from map(np.array, file.variables["rain"])


def save_netcdf4(path: Path, film: Film) -> None:
    packed = {"zlib": True, "chunksizes": (1, *film.shape[1:])}
    dataset(film).to_netcdf(path, engine="h5netcdf", encoding={"rain": packed})


def save_zarr(path: Path, film: Film, *, version: Any) -> None:
    chunks = {"rain": {"chunks": (1, *film.shape[1:])}}
    dataset(film).to_zarr(path, zarr_format=version, encoding=chunks, consolidated=False)


def open_zarr(path: Path) -> Iterator[object]:
    array = zarr.open_array(path, path="rain", mode="r")
    yield from (array[number] for number in range(array.shape[0]))


def save_video(path: Path, film: Film) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = *film.shape[1:], "yuv420p"
        for frame in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


def open_video(path: Path) -> Iterator[object]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from (picture.to_ndarray(format="rgb24") for picture in container.decode(video=0))


LOSSLESS: dict[str, Any] = {"lossless": True, "method": 0}
COLOURS = {"pixel_values": "rgb"}
KINDS: dict[str, Kind] = {
    "png": a_file_each(save_image, open_image, ".png"),
    "webp": a_file_each(partial(save_image, **LOSSLESS), open_image, ".webp", **COLOURS),
    "knmi": a_file_each(save_knmi, partial(open_one, name="image1/image_data"), ".h5"),
    "odim": a_file_each(save_odim, partial(open_one, name="dataset1/data1/data"), ".h5"),
    "tiff": Kind("film.tif", save_pages, open_pages),
    "gif": Kind("film.gif", save_images, partial(open_images, mode="L")),
    "webp film": Kind("film.webp", partial(save_images, **LOSSLESS), open_images, COLOURS),
    "npy": Kind("film.npy", np.save, open_map),
    "npz": Kind("film.npz", lambda path, film: np.savez_compressed(path, rain=film), open_archive),
    "hdf5": Kind("film.h5", save_hdf5, open_hdf5),
    "netcdf3": Kind("film.nc3", save_netcdf3, open_netcdf3),
    "netcdf4": Kind("film.nc", save_netcdf4, open_hdf5),
    "zarr2": Kind("film.zarr", partial(save_zarr, version=2), open_zarr),
    "zarr3": Kind("film.zarr", partial(save_zarr, version=3), open_zarr),
    "mp4": Kind("film.mp4", save_video, open_video, COLOURS),
}


def film(frames: int, size: int) -> Film:
    """Return rain, of which the first frames come again and again."""
    drawn = rain.sequence(frames=min(frames, DRAWN_FRAMES), size=size, seed=0, index=0)
    return drawn[np.arange(frames) % len(drawn)]


def read(raw: Path, reading: Reading) -> None:
    """Read all frames by our reader, one after another, and do nothing else."""
    for source in sources.find(raw, reading, Faults()):
        for path in source.files:
            exhaust(readers.frames(path, reading, source.part or 0))


def costs(kind: Kind, folder: Path, shown: Film, rounds: int) -> list[dict[str, Cost]]:
    """Return for each round the costs of an ingest, of the reader, and of the bare library."""
    raw, reading = folder / kind.raw, reading_of(**kind.reading)
    kind.write(raw, shown)
    work: dict[str, Callable[[], object]] = {
        "ingest": lambda: ingest(raw, folder / "frames", reading),
        "reader": lambda: read(raw, reading),
        "library": lambda: exhaust(kind.read(raw)),
    }
    return [{name: cost(run) for name, run in work.items()} for _ in range(rounds + 1)][1:]


def peak(kind: Kind, folder: Path, shown: Film) -> float:
    """Return the megabytes that the stage takes which ingests the film."""
    (folder / "data").mkdir(parents=True)
    kind.write(folder / kind.raw, shown)
    write_params(folder, raw=kind.raw, **kind.reading)
    return peak_megabytes(folder, "ingest")


def row(name: str, shown: Film, rounds: int) -> dict[str, str]:
    """Measure one kind."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = costs(kind, folder, shown, rounds)
        low = peak(kind, folder / "once", shown)
        high = peak(kind, folder / "more", np.tile(shown, (MORE, 1, 1)))

    def milliseconds(work: str) -> str:
        return f"{1e3 * statistics.median(one[work].cpu for one in found) / len(shown):.2f}"

    seconds = statistics.median(one["ingest"].seconds for one in found)
    of_reader = statistics.median(one["library"].cpu / one["reader"].cpu for one in found)
    of_ingest = statistics.median(one["library"].seconds / one["ingest"].seconds for one in found)
    return {
        "kind": name,
        "frames/s": f"{len(shown) / seconds:.0f}",
        **{f"{work}_ms": milliseconds(work) for work in ("ingest", "reader", "library")},
        "reader": f"{of_reader:.2f}",
        "ingest": f"{of_ingest:.2f}",
        "peak_mb": f"{low:.0f}",
        "more_mb": f"{high - low:.0f}",
    }


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=512, help="rows and columns of a frame")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS))
    asked = parser.parse_args()
    shown = film(asked.frames, asked.size)
    print(" ".join(column.rjust(WIDTH) for column in COLUMNS))
    for name in asked.kinds.split(","):
        cells = row(name, shown, asked.rounds)
        print(" ".join(cells[column].rjust(WIDTH) for column in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
