"""Random batches from memory-mapped numpy arrays, as users load slices: the peer of `bench_store`.

    python tools/bench/store_numpy.py [RUNS]        prints one JSON line a way of indexing
"""

import pathlib
import sys
import tempfile

import numpy as np

from _peer import report, seconds

SLICES, BATCH, SIDE, CHANNELS, BATCHES = 1000, 16, 64, 4, 625


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.save(folder / "images.npy", random.integers(0, 256, (SLICES, CHANNELS, SIDE, SIDE), np.uint8))
        np.save(folder / "labels.npy", random.integers(0, 4, (SLICES, SIDE, SIDE), np.uint8))
        images, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
        batches = random.integers(0, SLICES, (BATCHES, BATCH))
        image_batch = np.empty((BATCH, CHANNELS, SIDE, SIDE), np.uint8)
        label_batch = np.empty((BATCH, SIDE, SIDE), np.uint8)

        def index():
            for batch in batches:
                images[batch], labels[batch]

        def take():
            for batch in batches:
                np.take(images, batch, 0, image_batch, "clip")
                np.take(labels, batch, 0, label_batch, "clip")

        for name, work in (("indexed", index), ("take into reused arrays", take)):
            times = [t * 1000 / (BATCHES * BATCH) for t in seconds(runs, work)]
            rate = round(1000 / sorted(times)[len(times) // 2])
            report("store-gather-1000-64", f"numpy memmap, {name}", times, slices_per_second=rate)


if __name__ == "__main__":
    main()
