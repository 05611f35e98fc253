"""Golden values of the preparation: a small subject with a volume in each of five orders of axes, and the slices
that nibabel and numpy make of it.

    python tools/golden/prepare.py crates/data/tests/golden/prepare

Needs nibabel and numpy; their versions are written into the result. The volumes hold whole numbers and the scale
of `robust` is a float64, so that the comparison is exact.
"""

import json
import pathlib
import sys

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

NAME = "Golden_0001"
SHAPE = (21, 18, 6)  # left, posterior, superior
SPACING = (1.0, 2.0, 3.0)
ORDERS = {"t1": "LPS", "t1ce": "RAS", "t2": "PSL", "flair": "AIR", "seg": "SRA"}
RESOLUTION = 16
CLASSES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}


def volumes():
    """The subject in LPS order: four contrasts and the annotation."""
    rng = np.random.default_rng(20261122)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    # A head that shrinks towards both ends, so that the recipes keep different slices.
    head = x**2 + y**2 + 0.9 * z**2 < 1.05
    out = {name: np.where(head, rng.integers(1, 900, SHAPE), 0).astype(np.int16) for name in ("t1", "t1ce", "t2", "flair")}
    out["t1"] = np.where(head, 300 * (1 + z) ** 2 + rng.integers(0, 200, SHAPE), 0).astype(np.int16)
    out["flair"][10, 9, 3] = 32000
    blob = (x - 0.2) ** 2 + y**2 + z**2
    out["seg"] = np.select([blob < 0.1, blob < 0.2, blob < 0.4], [1, 4, 2], 0).astype(np.uint8)
    return out


def write(folder, data):
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = [12.5, 30.0, -7.0]
    for name, voxels in data.items():
        image = nib.Nifti1Image(voxels, affine)
        transform = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(ORDERS[name]))
        image = image.as_reoriented(transform)
        assert "".join(nib.aff2axcodes(image.affine)) == ORDERS[name]
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / f"{NAME}_{name}.nii.gz")


def read(folder):
    """What is on disk, turned to LPS by nibabel."""
    out = {}
    for name in ORDERS:
        image = nib.load(folder / f"{NAME}_{name}.nii.gz")
        transform = ornt_transform(nib.io_orientation(image.affine), axcodes2ornt("LPS"))
        out[name] = np.asarray(image.as_reoriented(transform).dataobj)
    return out


def prepare(data, recipe):
    contrasts = np.stack([data[name] for name in ("t1", "t1ce", "t2", "flair")]).astype(np.float64)
    mask = (contrasts != 0).any(0)
    if recipe == "paper":
        eight = np.stack([(c / c.max() * 255).astype(np.uint8) for c in contrasts])
        counted = (eight[0] > 50).sum((0, 1))
    else:
        levels = [np.percentile(c[mask], 99.5) for c in contrasts]
        eight = np.stack([np.clip(np.floor(c * (255 / l) + 0.5), 0, 255).astype(np.uint8) for c, l in zip(contrasts, levels)])
        counted = mask.sum((0, 1))
    nx, ny, _ = SHAPE
    factor = -(-max(nx, ny) // RESOLUTION)
    side = factor * RESOLUTION
    kept = np.flatnonzero(100 * counted > 15 * side * side)
    left, top = (side - nx) // 2, (side - ny) // 2
    square = np.zeros((len(kept), 4, side, side), np.uint8)
    square[:, :, top : top + ny, left : left + nx] = eight[..., kept].transpose(3, 0, 2, 1)
    labels = np.zeros((len(kept), side, side), np.uint8)
    lut = np.array([CLASSES[v] for v in range(5)], np.uint8)
    labels[:, top : top + ny, left : left + nx] = lut[data["seg"]][..., kept].transpose(2, 1, 0)
    blocks = (RESOLUTION, factor, RESOLUTION, factor)
    sums = square.reshape(len(kept), 4, *blocks).sum((3, 5), dtype=np.int64)
    images = (sums + factor**2 // 2) // factor**2
    counts = np.stack([(labels.reshape(-1, *blocks) == c).sum((2, 4)) for c in range(4)], -1)
    return {
        "slices": kept.tolist(),
        "images": images.astype(np.uint8).tobytes().hex(),
        "labels": counts.argmax(-1).astype(np.uint8).tobytes().hex(),
        "spacing_mm": [SPACING[1] * factor, SPACING[0] * factor, SPACING[2]],
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    subject = folder / NAME
    subject.mkdir(parents=True, exist_ok=True)
    write(subject, volumes())
    data = read(subject)
    assert all((data[name] == voxels).all() for name, voxels in volumes().items())
    golden = {
        "made_by": "tools/golden/prepare.py",
        "versions": {"nibabel": nib.__version__, "numpy": np.__version__},
        "resolution": RESOLUTION,
        "recipes": {recipe: prepare(data, recipe) for recipe in ("paper", "robust")},
    }
    (folder / "expected.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
