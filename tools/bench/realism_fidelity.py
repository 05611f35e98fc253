"""Frechet and kernel distance, precision and recall with other people's programs: the peer of `bench_realism`.

    python tools/bench/realism_fidelity.py [RUNS [THREADS [FEATURES [IMAGES]]]]

pytorch-fid's Frechet distance of two given Gaussians, torch-fidelity's kernel distance (100 subsets of 1,000), and the
authors' precision, recall, density and coverage.
"""

import numpy as np
import prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_kid import kid_features_to_metric
from torch import from_numpy

from _peer import arguments, report, seconds


def main():
    runs, dims, images = arguments(3, 2048, 10_000)
    random = np.random.default_rng(1)
    x, y = (np.abs(random.standard_normal((images, dims))).astype(np.float32) for _ in range(2))
    of_x, of_y = ((z.astype(np.float64).mean(0), np.cov(z, rowvar=False)) for z in (x, y))
    times = seconds(runs, lambda: calculate_frechet_distance(*of_x, *of_y), 0)
    report(f"frechet-{dims}", "pytorch-fid", times)
    size = min(1000, images)
    settings = {"kid_subsets": 100, "kid_subset_size": size, "verbose": False}
    times = seconds(runs, lambda: kid_features_to_metric(from_numpy(x), from_numpy(y), **settings), 0)
    report(f"kid-100x{size}x{dims}", "torch-fidelity", times)
    times = seconds(runs, lambda: prdc.compute_prdc(x, y, 5), 0)
    report(f"prdc-{images}x{dims}", "prdc", times)


if __name__ == "__main__":
    main()
