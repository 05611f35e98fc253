"""Preparation of one subject (recipe robust, 64 x 64) with nibabel and numpy: the peer of `bench_import`.

    python tools/bench/import_nibabel.py [RUNS]        prints one JSON line

Takes the subject that `bench_import` takes: the first of the real ones (SYNTHMR_REAL_DATA, or the folder beside the
checkout), else the phantom that `bench_import` left in target/bench. `crc32` is that of the images followed by the
labels, to be compared with ours. Arithmetic is in f32, which is faster here than numpy's default; on the phantom it
rounds ties the other way than ours in f64, so that 1 pixel in 1,400 differs by one grey level.
"""

import os
import pathlib
import sys
import zlib

import nibabel as nib
import numpy as np

from _peer import report, seconds

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESOLUTION, QUANTILE, KEPT_PERCENT = 64, 99.5, 15
CLASSES = np.zeros(256, np.uint8)
CLASSES[[1, 2, 3, 4]] = 1, 2, 3, 3


def subject():
    """The subject's folder and what it is."""
    real = pathlib.Path(os.environ.get("SYNTHMR_REAL_DATA") or ROOT / "../shared/data/brats2021")
    kind, cohort = ("real", real) if real.is_dir() else ("phantom", ROOT / "target/bench/phantom-240")
    for folder in sorted(cohort.glob("*/")):
        if (folder / f"{folder.name}_seg.nii.gz").is_file():
            return kind, folder
    sys.exit(f"no subject NAME/NAME_seg.nii.gz below {cohort}: run the example bench_import first, it writes a phantom")


def prepare(folder):
    load = lambda name: nib.as_closest_canonical(nib.load(folder / f"{folder.name}_{name}.nii.gz"))
    # Turned from right-anterior-superior to left-posterior-superior.
    contrasts = [load(name).get_fdata(dtype=np.float32)[::-1, ::-1] for name in ("t1", "t1ce", "t2", "flair")]
    annotation = CLASSES[np.asarray(load("seg").dataobj).astype(np.uint8)[::-1, ::-1]]
    volumes = np.stack(contrasts)
    mask = (volumes != 0).any(0)
    levels = [np.percentile(volume[mask], QUANTILE) for volume in volumes]
    eight = np.stack(
        [np.clip(np.floor(v * (255 / level) + 0.5), 0, 255).astype(np.uint8) for v, level in zip(volumes, levels)]
    )
    nx, ny, _ = mask.shape
    factor = -(-max(nx, ny) // RESOLUTION)
    side = factor * RESOLUTION
    kept = np.flatnonzero(100 * mask.sum((0, 1)) > KEPT_PERCENT * side * side)
    left, top = (side - nx) // 2, (side - ny) // 2
    square = np.zeros((len(kept), 4, side, side), np.uint8)
    square[:, :, top : top + ny, left : left + nx] = eight[..., kept].transpose(3, 0, 2, 1)
    blocks = (RESOLUTION, factor, RESOLUTION, factor)
    sums = square.reshape(len(kept), 4, *blocks).sum((3, 5), dtype=np.uint32)
    images = ((sums + factor**2 // 2) // factor**2).astype(np.uint8)
    labels = np.zeros((len(kept), side, side), np.uint8)
    labels[:, top : top + ny, left : left + nx] = annotation[..., kept].transpose(2, 1, 0)
    counts = np.stack([(labels.reshape(-1, *blocks) == c).sum((2, 4)) for c in range(4)], -1)
    return images, counts.argmax(-1).astype(np.uint8)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    kind, folder = subject()
    images, labels = prepare(folder)
    crc = zlib.crc32(labels.tobytes(), zlib.crc32(images.tobytes()))
    times = seconds(runs, lambda: prepare(folder))
    report("import-subject-240", "nibabel + numpy", times, input=kind, slices=len(images), crc32=crc)


if __name__ == "__main__":
    main()
