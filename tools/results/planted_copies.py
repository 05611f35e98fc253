"""Plants copies of a store's training slices, with scipy and numpy alone, for judging copy detectors.

python planted_copies.py STORE OUT.safetensors [COUNT [FRESH_STORE]]

Writes `images` u8 [n, C, H, W], `cell` i32 [n] (what was done) and `source` i32 [n] (the slice copied, an index into the
store); the names of the cells are in the metadata as JSON. FRESH_STORE lends second images; the store's control part does
where it is not given. Versions used: numpy 2.4, scipy 1.17, safetensors 0.7.
"""

import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import ndimage


def load(folder):
    manifest = json.load(open(f"{folder}/manifest.json"))
    shards = [load_file(f"{folder}/{shard['file']}") for shard in manifest["shards"]]
    store = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
    splits = np.array([subject["split"] for subject in manifest["origin"]["cohort"]["subjects"]])
    return store, splits[store["subject"]]


def moved(image, degrees=0.0, zoom=1.0, shift=(0, 0)):
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / zoom
    centre = (np.array(image.shape[1:]) - 1) / 2
    offset = centre - matrix @ (centre + np.array(shift))
    return np.stack([ndimage.affine_transform(plane, matrix, offset, order=1) for plane in image])


def bent(image, rng, pixels):
    shape = image.shape[1:]
    field = [ndimage.gaussian_filter(rng.standard_normal(shape), 8, mode="wrap") for _ in range(2)]
    field = [pixels * part / part.std() for part in field]
    places = np.meshgrid(*[np.arange(side) for side in shape], indexing="ij")
    places = [place + part for place, part in zip(places, field)]
    return np.stack([ndimage.map_coordinates(plane, places, order=1) for plane in image])


def bias(image, rng):
    field = ndimage.zoom(rng.normal(0, 0.3, (3, 3)), np.array(image.shape[1:]) / 3, order=3)
    return image * np.exp(field)


def coarse(image, factor):
    shape = np.array(image.shape[1:])
    small = image.reshape(len(image), shape[0] // factor, factor, shape[1] // factor, factor).mean((2, 4))
    return np.stack([ndimage.zoom(plane, factor, order=1) for plane in small])


def region(image, other, rng):
    """An ellipse of the other image in the place of a region of the head."""
    rows, columns = np.nonzero(image.max(0) > 30)
    at = rng.integers(len(rows))
    y, x = np.mgrid[: image.shape[1], : image.shape[2]]
    radii = rng.uniform(0.1, 0.2, 2) * image.shape[1]
    inside = ((y - rows[at]) / radii[0]) ** 2 + ((x - columns[at]) / radii[1]) ** 2 < 1
    return np.where(inside, other, image)


def keep(image, kept, rest):
    return np.stack([image[c] if c == kept else rest[c] for c in range(len(image))])


def blur(image, sigma):
    return np.stack([ndimage.gaussian_filter(plane, sigma) for plane in image])


# What is done to a slice x: o is a slice of another subject, b the slice beside, r a random generator.
CELLS = {
    "1 identity": lambda x, o, b, r: x,
    "1 mirror left-right": lambda x, o, b, r: x[:, :, ::-1],
    "1 rotation 5": lambda x, o, b, r: moved(x, 5 * r.choice([-1, 1])),
    "1 shift 4": lambda x, o, b, r: moved(x, shift=4 * r.choice([-1, 1], 2)),
    "1 noise 0.01": lambda x, o, b, r: x + 2.55 * r.standard_normal(x.shape),
    "1 blur 1": lambda x, o, b, r: blur(x, 1),
    "1 gain 0.7": lambda x, o, b, r: 0.7 * x,
    "1 gain 1.3": lambda x, o, b, r: 1.3 * x,
    "1 gamma 0.7": lambda x, o, b, r: 255 * (x / 255) ** 0.7,
    "1 gamma 1.5": lambda x, o, b, r: 255 * (x / 255) ** 1.5,
    "1 half resolution": lambda x, o, b, r: coarse(x, 2),
    "2 rotation 10": lambda x, o, b, r: moved(x, 10 * r.choice([-1, 1])),
    "2 rotation 20": lambda x, o, b, r: moved(x, 20 * r.choice([-1, 1])),
    "2 shift 8": lambda x, o, b, r: moved(x, shift=8 * r.choice([-1, 1], 2)),
    "2 scale 0.9": lambda x, o, b, r: moved(x, zoom=0.9),
    "2 scale 1.1": lambda x, o, b, r: moved(x, zoom=1.1),
    "2 noise 0.1": lambda x, o, b, r: x + 25.5 * r.standard_normal(x.shape),
    "2 bias field": lambda x, o, b, r: bias(x, r),
    "2 slice beside": lambda x, o, b, r: b,
    "2 region replaced": lambda x, o, b, r: region(x, o, r),
    "3 mirror up-down": lambda x, o, b, r: x[:, ::-1],
    "3 rotation 30": lambda x, o, b, r: moved(x, 30 * r.choice([-1, 1])),
    "3 rotation 90": lambda x, o, b, r: np.rot90(x, r.choice([1, 3]), (1, 2)),
    "3 any rotation": lambda x, o, b, r: moved(x, r.uniform(-180, 180)),
    "3 zoom 1.3": lambda x, o, b, r: moved(x, zoom=1.3),
    "3 crop, zoom 1.6": lambda x, o, b, r: moved(x, zoom=1.6, shift=r.uniform(-8, 8, 2)),
    "3 scale 0.75": lambda x, o, b, r: moved(x, zoom=0.75),
    "3 blend 70/30": lambda x, o, b, r: 0.7 * x + 0.3 * o,
    "3 blend 50/50": lambda x, o, b, r: 0.5 * x + 0.5 * o,
    "3 inverted": lambda x, o, b, r: 255 - x,
    "3 inverted inside": lambda x, o, b, r: np.where(x.max(0) > 12, 255 - x, 0),
    "3 one contrast, rest black": lambda x, o, b, r: keep(x, r.integers(len(x)), 0 * x),
    "3 one contrast, rest of another": lambda x, o, b, r: keep(x, r.integers(len(x)), o),
    "3 contrasts in another order": lambda x, o, b, r: x[r.permutation(len(x))],
    "3 quarter resolution": lambda x, o, b, r: coarse(x, 4),
    "3 bent by 1 pixel": lambda x, o, b, r: bent(x, r, 1.0),
    "3 bent by 2 pixels": lambda x, o, b, r: bent(x, r, 2.0),
    "3 mean of two slices": lambda x, o, b, r: (x + b) / 2,
    "3 turned, zoomed, noisy": lambda x, o, b, r: moved(x, r.uniform(-180, 180), 1.15)
    + 12 * r.standard_normal(x.shape),
}


def main(folder, out, count=120, fresh=None):
    store, split = load(folder)
    train = np.flatnonzero(split == "train")
    lender, lent_split = load(fresh) if fresh else (store, split)
    lent = np.flatnonzero(lent_split == "control")
    place = {key: i for i, key in enumerate(zip(store["subject"].tolist(), store["slice"].tolist()))}
    rng = np.random.default_rng(1)
    images, cells, sources = [], [], []
    for number, change in enumerate(CELLS.values()):
        for source in rng.choice(train, int(count), replace=False):
            key = (int(store["subject"][source]), int(store["slice"][source]))
            beside = place.get((key[0], key[1] + 1), place.get((key[0], key[1] - 1), source))
            x, b = (store["images"][i].astype(np.float64) for i in (source, beside))
            # A slice of another subject at about the same level, as generators mix.
            near = lent[np.abs(lender["slice"][lent] - key[1]) < 3]
            o = lender["images"][rng.choice(near if len(near) else lent)].astype(np.float64)
            images.append(np.clip(np.rint(change(x, o, b, rng)), 0, 255).astype(np.uint8))
            cells.append(number)
            sources.append(source)
    tensors = {
        "images": np.stack(images),
        "cell": np.array(cells, np.int32),
        "source": np.array(sources, np.int32),
    }
    save_file(tensors, out, {"cells": json.dumps(list(CELLS))})


if __name__ == "__main__":
    main(*sys.argv[1:])
