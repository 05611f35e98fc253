#!/usr/bin/env python3
"""Golden files for the NIfTI reader, with nibabel as the judge.

    python tools/golden/nifti.py                 write crates/data/tests/golden/nifti/
    python tools/golden/nifti.py --random DIR N  write N random volumes with nibabel's values, for a large run

Everything is made from a fixed seed; no image of a person is involved. Needs nibabel and numpy.
"""

import gzip
import io
import json
import logging
import pathlib
import struct
import sys
import warnings

import nibabel as nib
import numpy as np

# Its notes on corrected headers are of no use here.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/data/tests/golden/nifti"
TYPES = {"u8": 2, "i8": 256, "i16": 4, "u16": 512, "i32": 8, "u32": 768, "i64": 1024, "u64": 1280, "f32": 16, "f64": 64}
NUMPY = {"u8": "u1", "i8": "i1", "i16": "i2", "u16": "u2", "i32": "i4", "u32": "u4", "i64": "i8", "u64": "u8", "f32": "f4", "f64": "f8"}


def judge(raw: bytes):
    """nibabel's meaning of a .nii file: shape, affine and values as float32, or None when it refuses."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            if not nib.Nifti1Header.may_contain_header(raw[:348]):
                return None
            image = nib.Nifti1Image.from_bytes(raw)
            if np.prod(image.shape, dtype=float) > 1e6:
                return None
            values = np.asarray(image.get_fdata(dtype=np.float64)).astype(np.float32)
            return list(image.shape), image.affine[:3].astype(float), values.ravel(order="F")
        except Exception:
            return None


def header(shape, name, order, *, slope=1.0, inter=0.0, offset=352.0, qform=0, sform=0, quaternion=(0, 0, 0),
           origin=(0, 0, 0), pixdim=(1, 1, 1, 1), srow=None):
    h = bytearray(348)
    put = lambda at, fmt, *v: struct.pack_into(order + fmt, h, at, *v)
    put(0, "i", 348)
    put(40, "8h", len(shape), *shape, *([1] * (7 - len(shape))))
    put(70, "hh", TYPES[name], np.dtype(NUMPY[name]).itemsize * 8)
    put(76, "8f", *pixdim, *([1] * (8 - len(pixdim))))
    put(108, "3f", offset, slope, inter)
    h[123] = 2
    put(252, "hh", qform, sform)
    put(256, "6f", *quaternion, *origin)
    if srow is not None:
        put(280, "12f", *np.asarray(srow, float).ravel())
    h[344:348] = b"n+1\0"
    return h


def voxels(rng, name, count):
    kind = np.dtype(NUMPY[name])
    if kind.kind == "f":
        return (rng.normal(size=count) * 10.0 ** rng.integers(-3, 6)).astype(kind)
    info = np.iinfo(kind)
    values = rng.integers(info.min, info.max, size=count, dtype=kind, endpoint=True)
    values[: min(2, count)] = [info.min, info.max][: min(2, count)]
    return values


def random_affine(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    shear = np.eye(3) + (rng.normal(size=(3, 3)) * 0.1 if rng.random() < 0.3 else 0)
    return np.c_[q @ shear @ np.diag(rng.uniform(0.3, 5, 3)), rng.normal(size=3) * 100]


def random_file(rng, name=None, order=None, small=False):
    name = name or rng.choice(list(TYPES))
    order = order or rng.choice(["<", ">"])
    shape = [int(x) for x in rng.integers(1, 4 if small else 24, size=3)]
    if rng.random() < 0.2:
        shape += [1] * int(rng.integers(1, 5))
    fields = {}
    scale = rng.integers(5)
    if scale == 1:
        fields |= {"slope": float(rng.normal() * 3), "inter": float(rng.normal() * 100)}
    elif scale == 2:
        fields |= {"slope": float(rng.choice([0.0, np.nan, np.inf, -np.inf])), "inter": float(rng.choice([0, 5, np.nan]))}
    elif scale == 3:
        fields |= {"slope": -1.0, "inter": 0.0}
    kind = rng.integers(4)
    quaternion = rng.normal(size=4)
    quaternion /= np.linalg.norm(quaternion) * np.sign(quaternion[0])
    if rng.random() < 0.1:
        quaternion = np.array([0, *np.eye(3)[rng.integers(3)]])
    fields |= {"pixdim": [float(rng.choice([-1, 1])), *rng.uniform(0.3, 5, 3)]}
    if kind in (1, 3):
        fields |= {"qform": int(rng.integers(1, 5)), "quaternion": quaternion[1:], "origin": rng.normal(size=3) * 100}
    if kind in (2, 3):
        fields |= {"sform": int(rng.integers(1, 6)), "srow": random_affine(rng)}
    blocks = b""
    flag = bytes(4)
    gap = rng.integers(4)
    if gap == 1:
        flag = bytes([1, 0, 0, 0])
        for _ in range(rng.integers(1, 4)):
            size = int(rng.integers(1, 5)) * 16
            blocks += struct.pack(order + "ii", size, 6) + bytes(rng.integers(1, 255, size - 8, dtype=np.uint8))
    elif gap == 2:
        blocks = bytes(rng.integers(0, 255, int(rng.integers(1, 80)), dtype=np.uint8))
    h = header(shape, name, order, offset=352.0 + len(blocks), **fields)
    data = voxels(rng, name, int(np.prod(shape))).astype(np.dtype(NUMPY[name]).newbyteorder(order))
    return bytes(h) + flag + blocks + data.tobytes()


def meaning_bytes(meaning):
    """Shape, affine and float32 values as one block of little-endian numbers."""
    shape, affine, values = meaning
    return struct.pack("<3I", *shape[:3]) + affine.astype("<f8").tobytes() + values.astype("<f4").tobytes()


def random_run(folder, count):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20260)
    for i in range(count):
        raw = random_file(rng)
        meaning = judge(raw)
        assert meaning is not None and set(meaning[0][3:]) <= {1}, i
        packed = gzip.compress(raw, mtime=0) if i % 2 else raw
        (folder / f"{i:04}.nii{'.gz' if i % 2 else ''}").write_bytes(packed)
        (folder / f"{i:04}.expected").write_bytes(meaning_bytes(meaning))


def corruption_base():
    """A small volume whose every header field matters: scaling, qform and sform that agree, extensions off."""
    affine = np.array([[-2, 0, 0, 10], [0, -3, 0, 20], [0, 0, 4, -30.0]])
    h = header([3, 2, 2], "i16", "<", slope=2.0, inter=1.0, qform=1, sform=2, quaternion=(0, 0, 1),
               origin=affine[:, 3], pixdim=(1, 2, 3, 4), srow=affine)
    data = np.arange(-5, 7, dtype="<i2") * 100
    return bytes(h) + bytes(4) + data.tobytes()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2026)
    # 500 volumes, 25 for each of ten types in both byte orders: lengths of file and meaning, then the two.
    container = io.BytesIO()
    for _ in range(25):
        for name in TYPES:
            for order in "<>":
                raw = random_file(rng, name, order, small=True)
                expected = meaning_bytes(judge(raw))
                container.write(struct.pack("<II", len(raw), len(expected)) + raw + expected)
    (OUT / "volumes.bin.gz").write_bytes(gzip.compress(container.getvalue(), mtime=0))

    base = corruption_base()
    reference = judge(base)
    (OUT / "base.nii").write_bytes(base)
    same, other, refused = 0, {}, []
    for at in range(348):
        for how, change in (("00", lambda b: 0), ("ff", lambda b: 255), ("80", lambda b: b ^ 0x80)):
            raw = bytearray(base)
            raw[at] = change(raw[at])
            meaning = judge(bytes(raw))
            key = f"{at}:{how}"
            if meaning is None or len(meaning[0]) < 3 or any(d != 1 for d in meaning[0][3:]):
                refused.append(key)
            elif meaning_bytes(meaning) == meaning_bytes(reference):
                same += 1
            else:
                other[key] = meaning_bytes(meaning).hex()
    record = {"script": "tools/golden/nifti.py", "nibabel": nib.__version__, "numpy": np.__version__,
              "python": sys.version.split()[0],
              "meaning": "u32 x 3 shape, f64 x 12 affine rows, f32 values; little-endian, hexadecimal",
              "same": same, "refused": refused, "other": other}
    text = json.dumps(record, indent=0) + "\n"
    (OUT / "corruptions.json").write_text(text)
    print(f"{same} unchanged, {len(refused)} refused by nibabel, {len(other)} with another meaning")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--random"]:
        random_run(sys.argv[2], int(sys.argv[3]))
    else:
        main()
