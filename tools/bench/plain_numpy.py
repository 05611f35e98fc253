"""The nearest image by plain Pearson correlation, as people compute it with numpy: the peers of `bench_plain`.

    python tools/bench/plain_numpy.py [RUNS]        prints a JSON line for BLAS and one for the loop over pairs

The loop is timed on a few pairs and scaled to all of them, which `scaled_from_pairs` says.
"""

import sys

import numpy as np

from _peer import report, seconds

IMAGES, SIDE, PAIRS = 2048, 256, 400
FULL_PAIRS = 100_000 * 23_000


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, SIDE * SIDE), np.uint8)

    def rows():
        x = images.astype(np.float32)
        x -= x.mean(1, keepdims=True)
        x /= np.sqrt((x * x).sum(1, keepdims=True))
        return x

    def blas():
        (rows() @ rows().T).max(1)

    def loop():
        for i in range(PAIRS):
            np.corrcoef(images[i], images[IMAGES - 1 - i])[0, 1]

    def line(system, times, **more):
        minutes = sorted(times)[len(times) // 2] * FULL_PAIRS / IMAGES**2 / 60
        report("plain-nearest-2048-256", system, times, full_problem_minutes=round(minutes, 1), **more)

    line("numpy, BLAS f32", seconds(runs, blas))
    scaled = [t * IMAGES**2 / PAIRS for t in seconds(min(runs, 3), loop)]
    line("numpy, corrcoef for every pair", scaled, scaled_from_pairs=PAIRS)


if __name__ == "__main__":
    main()
