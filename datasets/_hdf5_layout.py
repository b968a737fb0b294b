"""The HDF5 layout that GalaxiesML, TransferZ-Images and their union share.

One file a split; `image` (n, 5, pixels, pixels) float32, bands g r i z y first, and one
data set a catalogue column. What a file lacks beyond the needed keys is NaN (text: ""),
and so are the release's sentinels -99, -99.9 and infinity in photometry and redshifts.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import h5py
import numpy as np
from etils import epath

from kphotoz.errors import InputError
from kphotoz.tables import cells
from kphotoz.untrusted import damaged
from kphotoz.untrusted.hdf5_files import check_hdf5
from kphotoz_datasets._encoding import Column

__all__ = [
    "BANDS",
    "LABELS",
    "PER_BAND",
    "PIXEL_SCALE",
    "Catalogue",
    "ReleaseFile",
    "catalogue_columns",
    "image_column",
    "read_catalogue",
    "read_images",
]

BANDS = ("g", "r", "i", "z", "y")
PIXEL_SCALE = 0.168  # arcsec; HSC's sky maps (Aihara et al. 2019)
# The release writes these for "none", beside infinity and NaN.
_SENTINELS = (-99.0, -99.9)
# Survey -> the key of its redshift.
LABELS = {
    "galaxies_ml": "specz_redshift",
    "transfer_z": "lp_zPDF_CLASSIC",
    "combined_z": "z_truth",
}
CHUNK = 256  # images read at once, 21 MB of 64 x 64 pixels; our choice
_UNKNOWN = "unit unknown"
_BAND_DOC = "bands g r i z y"
# Per-band keys, "<band>_<name>" in the files, one (5,) feature each.
PER_BAND = {
    "cmodel_mag": "CModel magnitude, AB mag",
    "cmodel_magsigma": "its standard error, mag",
    "ellipticity": "1 - B/A, dimensionless",
    "half_light_radius": f"half-light radius, {_UNKNOWN}",
    "isophotal_area": f"isophotal area, {_UNKNOWN}",
    "major_axis": f"major axis A, {_UNKNOWN}",
    "minor_axis": f"minor axis B, {_UNKNOWN}",
    "peak_surface_brightness": f"peak surface brightness, {_UNKNOWN}",
    "petro_rad": f"Petrosian radius, {_UNKNOWN}",
    "pos_angle": f"position angle, {_UNKNOWN}",
    "sersic_index": "Sersic index, dimensionless",
    "central_image_pop_5px_rad": f"population within 5 pixels, {_UNKNOWN}",
    "central_image_pop_10px_rad": f"population within 10 pixels, {_UNKNOWN}",
    "central_image_pop_15px_rad": f"population within 15 pixels, {_UNKNOWN}",
}
_TEXTS = {
    "skymap_id": "sky map id of HSC (tract and patch)",
    "coord": "HSC's position as the file writes it, format undocumented",
    "specz_name": "names in the spectroscopic surveys, comma between several",
}
_ANGLES = {
    "ra": "right ascension, degree",
    "dec": "declination, degree",
    "specz_ra": "right ascension of the spectroscopic source, degree",
    "specz_dec": "declination of the spectroscopic source, degree",
}
_NUMBERS = {
    "specz_redshift": "spectroscopic redshift",
    "specz_redshift_err": "its standard error",
    "specz_mag_i": "i magnitude in the spectroscopic survey, mag",
    "x_coord": "x on HSC's sky map, pixel as far as known",
    "y_coord": "y on HSC's sky map, pixel as far as known",
}
_PAIRS = ("x_coord_x", "x_coord_y", "y_coord_x", "y_coord_y")
_EXTRA = {
    "galaxies_ml": (),
    "transfer_z": (Column("lp_zPDF_CLASSIC", "LePhare redshift of COSMOS2020"),),
    "combined_z": (
        Column("lp_zPDF_CLASSIC", "LePhare redshift of COSMOS2020; NaN of GalaxiesML"),
        Column("z_truth", "label of a ready-made union; NaN where we made it"),
        Column(
            "survey", "galaxies_ml or transfer_z; empty if a file does not say", "text"
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class ReleaseFile:
    """One HDF5 file.

    Args:
        path: path of the file.
        survey: str. Whose layout it has, a key of `LABELS`.
        split: str. "train", "validation" or "test".
    """

    path: epath.Path
    survey: str
    split: str


@dataclasses.dataclass
class Catalogue:
    """The columns of several files, one after the other.

    Args:
        files: sequence of ReleaseFile.
        part: (n,) int. Which file a row is of.
        row: (n,) int. Its row there.
        columns: name to (n, …) float arrays or (n,) str objects.
        absent: keys of the layout that no file has.
        unread: keys of the files that are not of the layout.
    """

    files: Sequence[ReleaseFile]
    part: np.ndarray
    row: np.ndarray
    columns: dict[str, np.ndarray]
    absent: list[str]
    unread: list[str]

    def __len__(self) -> int:
        return len(self.part)

    @classmethod
    def joined(cls, catalogues: Sequence["Catalogue"]) -> "Catalogue":
        """Returns several catalogues one after the other."""
        starts = np.cumsum([0, *(len(one.files) for one in catalogues)])
        parts = [
            one.part + start for one, start in zip(catalogues, starts, strict=False)
        ]
        return cls(
            [file for one in catalogues for file in one.files],
            np.concatenate(parts),
            np.concatenate([one.row for one in catalogues]),
            {
                name: np.concatenate([one.columns[name] for one in catalogues])
                for name in catalogues[0].columns
            },
            sorted(set.intersection(*(set(one.absent) for one in catalogues))),
            sorted({key for one in catalogues for key in one.unread}),
        )


def catalogue_columns(survey: str) -> list[Column]:
    """Returns the features of a survey but for pixels and photometry."""
    return [
        Column("id", "object_id as text, distinct", "text"),
        Column("group", "equal for rows too near to be split apart", "text"),
        Column("source_survey", "spectroscopic surveys, read off specz_name", "text"),
        Column("redshift", f"the label: {LABELS[survey]}"),
        Column("redshift_error", "its standard error; NaN where unknown"),
        Column("z_true", "NaN: real galaxies have none"),
        Column("magnitude", "i_cmodel_mag, AB mag"),
        Column("object_id", "HSC object id; -1: no whole number", "raw", (), "int64"),
        Column(
            "specz_flag_homogeneous",
            "1 secure, 0 not, -1 not given",
            "raw",
            (),
            "int64",
        ),
        *(Column(name, doc, "text") for name, doc in _TEXTS.items()),
        *(Column(name, doc, "raw", (), "float64") for name, doc in _ANGLES.items()),
        *(Column(name, doc) for name, doc in _NUMBERS.items()),
        *(Column(name, "two values, undocumented", shape=(2,)) for name in _PAIRS),
        *(
            Column(name, f"{doc}; {_BAND_DOC}", shape=(len(BANDS),))
            for name, doc in PER_BAND.items()
        ),
        *_EXTRA[survey],
    ]


def image_column(size: int) -> Column:
    """Returns the pixels' feature.

    Args:
        size: int. Pixels a side.
    """
    doc = "raw flux units as released, not normalised; height, width, band g r i z y"
    return Column("image", doc, "raw", (size, size, len(BANDS)))


def read_catalogue(
    files: Sequence[ReleaseFile], needed: dict[str, str], image_size: int | None
) -> Catalogue:
    """Reads the columns of files, checking that they are what they should be.

    Args:
        files: sequence of ReleaseFile.
        needed: names in the layout that must not be absent, beside the label and
            object_id, and the settings that do without them; "cmodel_mag" stands for
            five keys.
        image_size: int or None. Pixels a side that `image` must have; None: no images.

    Raises:
        InputError: a file is damaged, of another survey, lacks a needed key, or has
            images or columns of another shape.
    """
    tables, absent, unread = [], [], set()
    for file in files:
        with _opened(file) as source:
            _check(source, file, needed, image_size)
            table, lacking = _read(source, file)
            tables.append(table)
            absent.append(set(lacking))
            unread |= set(source) - _known_keys()
    lengths = [len(table["id"]) for table in tables]
    return Catalogue(
        files,
        np.repeat(np.arange(len(files)), lengths),
        np.concatenate([np.arange(length) for length in lengths]),
        {name: np.concatenate([t[name] for t in tables]) for name in tables[0]},
        sorted(set.intersection(*absent)),
        sorted(unread),
    )


def read_images(
    file: ReleaseFile, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields images in chunks, in the file's order.

    Args:
        file: ReleaseFile.
        rows: (n,) int, rising.

    Yields:
        (m,) int, places in `rows`; (m, height, width, band) float32.
    """
    with _opened(file) as source:
        images = source["image"]
        for start in range(0, len(images), CHUNK):
            first, last = np.searchsorted(rows, [start, start + CHUNK])
            if first == last:
                continue
            chosen = rows[first:last] - start
            pixels = images[start : start + CHUNK]
            if len(chosen) < len(pixels):
                pixels = pixels[chosen]
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1), np.float32)
            yield np.arange(first, last), pixels


@contextlib.contextmanager
def _opened(file: ReleaseFile) -> Iterator[h5py.File]:
    with damaged(file.path, "an HDF5 file"):
        check_hdf5(file.path)
        with h5py.File(file.path, "r") as source:
            yield source


def _known_keys() -> set[str]:
    bands = {f"{band}_{name}" for name in PER_BAND for band in BANDS}
    single = {*_TEXTS, *_ANGLES, *_NUMBERS, *_PAIRS, *LABELS.values()}
    return bands | single | {"image", "object_id", "specz_flag_homogeneous"}


def _check(
    source: h5py.File, file: ReleaseFile, needed: dict[str, str], image_size: int | None
) -> None:
    label = LABELS[file.survey]
    if label not in source:
        others = [name for name, key in LABELS.items() if key in source]
        hint = f" It is a file of {others[0]}: build that survey." if others else ""
        raise InputError(
            f"Wanted: key {label!r} of {file.survey} in {file.path}. Received: "
            f"{_listing(source)}.{hint}"
        )
    wanted = dict.fromkeys(["object_id", *(["image"] if image_size else [])], "")
    for name, setting in sorted(needed.items()):
        bands = [f"{band}_{name}" for band in BANDS]
        wanted |= dict.fromkeys(bands if name in PER_BAND else [name], setting)
    lacking = [key for key in wanted if key not in source]
    if lacking:
        settings = dict.fromkeys(wanted[key] for key in lacking if wanted[key])
        hint = f", or set {', '.join(settings)}" if settings else ""
        raise InputError(
            f"Wanted: keys {', '.join(lacking)} in {file.path}. Received: "
            f"{_listing(source)}. Get the file anew{hint}."
        )
    count = len(source[label])
    if image_size:
        shape = (count, len(BANDS), image_size, image_size)
        if source["image"].shape != shape:
            raise InputError(
                f"Wanted: image of shape {shape} (row, band, height, width) in "
                f"{file.path}. Received: {source['image'].shape}. Is it the file of "
                "another cutout size, or cut short?"
            )
    unused = set() if image_size else {"image"}
    for key in sorted(_known_keys() & set(source) - unused):
        if source[key].shape[:1] != (count,):
            raise InputError(
                f"Wanted: {count} rows in key {key!r} of {file.path}, as in {label!r}. "
                f"Received: shape {source[key].shape}. Get the file anew."
            )


def _listing(source: h5py.File) -> str:
    keys = sorted(source)
    more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
    return (", ".join(keys[:8]) or "no keys") + more


def _read(source: h5py.File, file: ReleaseFile) -> tuple[dict, list[str]]:
    """Returns the columns of a file by feature name, and the keys it lacks."""
    count, lacking = len(source[LABELS[file.survey]]), []

    def numbers(key: str, shape: tuple[int, ...] = (), dtype: str = "f4") -> np.ndarray:
        if key not in source or source[key].size != count * int(np.prod(shape)):
            lacking.append(key)
            return np.full((count, *shape), np.nan, dtype)
        column = cells.numbers(source[key][:].reshape(-1), f"{key!r} of {file.path}")
        return column.astype(dtype).reshape(count, *shape)

    def text(key: str) -> np.ndarray:
        if key not in source:
            lacking.append(key)
            return np.full(count, "", object)
        column = source[key][:]
        if column.ndim > 1 or column.dtype.kind == "f":
            joined = [" ".join(map(str, np.ravel(row).tolist())) for row in column]
            return np.array([*joined, None], object)[:-1]
        return cells.text(column, f"{key!r} of {file.path}")

    identity = cells.text(source["object_id"][:], f"'object_id' of {file.path}")
    table = {"id": identity, "object_id": _whole(identity)}
    table |= {name: text(name) for name in _TEXTS}
    table |= {name: numbers(name, (), "f8") for name in _ANGLES}
    for name in (*_NUMBERS, "lp_zPDF_CLASSIC", "z_truth"):
        table[name] = _without_sentinels(numbers(name))
    table |= {name: numbers(name, (2,)) for name in _PAIRS}
    for name in PER_BAND:
        bands = np.stack([numbers(f"{band}_{name}") for band in BANDS], 1)
        table[name] = _without_sentinels(bands)
    table["specz_flag_homogeneous"] = _flags(text("specz_flag_homogeneous"))
    table["redshift"] = _without_sentinels(numbers(LABELS[file.survey], (), "f8"))
    own = set(LABELS.values()) - {LABELS[file.survey]}
    return table, [key for key in lacking if key not in own]


def _without_sentinels(values: np.ndarray) -> np.ndarray:
    """Returns values with NaN for -99, -99.9 and infinity."""
    # The tolerance is for float32.
    is_sentinel = np.any([np.abs(values - s) < 1e-4 for s in _SENTINELS], axis=0)
    return np.where(is_sentinel | np.isinf(values), np.nan, values).astype(values.dtype)


def _whole(names: np.ndarray) -> np.ndarray:
    """Returns text as int64, -1 where it is none."""
    limit = np.iinfo(np.int64).max
    values = (int(name) if name.isdecimal() else -1 for name in names)
    return np.array([v if v <= limit else -1 for v in values], np.int64)


def _flags(cells: np.ndarray) -> np.ndarray:
    """Returns 1 for true, 0 for anything else and -1 where a row says nothing."""
    true = ("true", "t", "1", "1.0")
    return np.array(
        [int(cell.lower() in true) if cell else -1 for cell in cells], np.int64
    )
