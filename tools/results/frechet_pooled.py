"""Frechet distance between two stores, for docs/results: normal distributions of the planes averaged to 8x8 pixels.

    python tools/results/frechet_pooled.py REAL.store[:SPLIT] SYNTHETIC.store...

Features are the contrasts in [0, 1] and one plane a foreground class, each averaged over blocks to 8x8 pixels. The
distance is |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), in f64, times 1000. The floor is the same distance between two
halves of the real set by subject. It says how well a set agrees in coarse anatomy, intensities and annotation, and
nothing about fine structure. Needs numpy and safetensors.
"""

import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

SIDE = 8


def features(store, split=None):
    """Rows of features, and the subject of each slice (-1 for synthetic ones)."""
    folder = pathlib.Path(store)
    manifest = json.loads((folder / "manifest.json").read_text())
    classes = len(manifest["labels"]["classes"])
    rows, subjects = [], []
    for shard in manifest["shards"]:
        tensors = load_file(folder / shard["file"])
        images, labels = tensors["images"].astype(np.float64) / 255, tensors["labels"]
        planes = np.stack([labels == c for c in range(1, classes)], 1).astype(np.float64)
        planes = np.concatenate([images, planes], 1)
        n, c, h, w = planes.shape
        rows.append(planes.reshape(n, c, SIDE, h // SIDE, SIDE, w // SIDE).mean((3, 5)).reshape(n, -1))
        subjects.append(tensors["subject"] if "subject" in tensors else np.full(n, -1))
    rows, subjects = np.concatenate(rows), np.concatenate(subjects)
    if split:
        parts = [s["split"] for s in manifest["origin"]["cohort"]["subjects"]]
        keep = np.array([parts[s] == split for s in subjects])
        rows, subjects = rows[keep], subjects[keep]
    return rows, subjects


def frechet(a, b):
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(s1)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ s2 @ root), 0, None)).sum()
    return 1000 * (((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * cross)


def main():
    real, _, split = sys.argv[1].partition(":")
    rows, subjects = features(real, split)
    even = subjects % 2 == 0
    print(f"{sys.argv[1]}: {len(rows)} images, {rows.shape[1]} features; floor {frechet(rows[even], rows[~even]):.1f}")
    for store in sys.argv[2:]:
        print(f"{store}: {frechet(rows, features(store)[0]):.1f}")


if __name__ == "__main__":
    main()
