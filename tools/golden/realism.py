"""Golden values of the realism metrics: crates/metrics/tests/golden/realism.json.

Features are a function of their index (splitmix64), so that the file holds results only; crates/metrics/tests/realism.rs
makes the same. Expected values are other people's: pytorch-fid (Frechet), torch-fidelity (KID, Inception Score), prdc,
pytorch-msssim, scipy (Wasserstein distances, components), numpy (spectra, correlations).

Run: python tools/golden/realism.py
(numpy 2, scipy, torch 2.11.0, pytorch-fid 0.3.0, torch-fidelity 0.4, prdc 0.2, pytorch-msssim 1.0.0)
"""

import importlib
import importlib.metadata
import json
import pathlib

import numpy as np
import scipy.ndimage
import scipy.stats
import torch
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from pytorch_msssim import ms_ssim
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kernel_poly, mmd2

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def uniform(start, count):
    """Numbers in [0, 1) by their index, 24 bits."""
    with np.errstate(over="ignore"):
        z = np.arange(start, start + count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def features(seed, rows, dims, shift):
    """f32 [rows, dims]; neighbouring features are correlated, and later ones are smaller."""
    u = uniform(seed, rows * (dims + 1)).reshape(rows, dims + 1)
    return ((u[:, :-1] + u[:, 1:] + shift) / (1.0 + np.arange(dims) / dims)).astype(np.float32)


def kernel_distance(x, y):
    settings = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}
    x, y = x.astype(np.float64), y.astype(np.float64)
    return mmd2(kernel_poly(x, x, **settings), kernel_poly(x, y, **settings), kernel_poly(y, y, **settings))


def frechet(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float(calculate_frechet_distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)))


def image(seed, side, level):
    """A u8 plane: a disc of noise on black."""
    y, x = np.mgrid[:side, :side]
    inside = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (side * 0.4) ** 2
    noise = uniform(seed, side * side).reshape(side, side)
    return (inside * (level + 80 * noise + 40 * (x > side / 2))).astype(np.uint8)


def similarity(a, b):
    side = a.shape[0]
    scales = sum(side >> s >= 11 for s in range(5))
    weights = [w / sum(WEIGHTS[:scales]) for w in WEIGHTS[:scales]]
    a, b = (torch.from_numpy(x.astype(np.float64))[None, None] for x in (a, b))
    if scales < 5:
        # pytorch-msssim insists on room for five scales; the check is the only thing that is left out.
        module = importlib.import_module("pytorch_msssim.ssim")

        window = module._fspecial_gauss_1d(11, 1.5).repeat(1, 1, 1, 1).double()
        terms = []
        for scale in range(scales):
            whole, structure = module._ssim(a, b, 255, window, size_average=False)
            terms.append(torch.relu(whole if scale + 1 == scales else structure))
            a, b = (torch.nn.functional.avg_pool2d(x, 2) for x in (a, b))
        return float(torch.prod(torch.stack([t**w for t, w in zip(terms, weights)]), 0))
    return float(ms_ssim(a, b, data_range=255, size_average=True, weights=weights))


def spectrum(plane):
    power = np.abs(np.fft.fft2(plane.astype(np.float64))) ** 2
    h, w = plane.shape
    radius = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(h, 1 / h), np.fft.fftfreq(w, 1 / w), indexing="ij")))
    return [float(power[radius == r].mean()) for r in range(1, min(h, w) // 2 + 1)]


def correlation(a, b):
    mask = (a > 12) | (b > 12)
    return float(np.corrcoef(a[mask].astype(np.float64), b[mask].astype(np.float64))[0, 1])


def main():
    golden = {"script": "tools/golden/realism.py"}
    packages = ["numpy", "scipy", "torch", "pytorch-fid", "torch-fidelity", "prdc", "pytorch-msssim"]
    golden["versions"] = {name: importlib.metadata.version(name) for name in packages}
    golden["sets"] = []
    for rows, others, dims, shift, k in [(300, 260, 16, 0.0, 5), (200, 400, 64, 0.2, 3), (1200, 1100, 24, 0.05, 5), (60, 50, 96, 0.3, 4)]:
        x, y = features(1, rows, dims, 0.0), features(10_000_000, others, dims, shift)
        size = min(rows, others) // 2
        subsets = [(np.arange(s, s + size), np.arange(size)[::-1]) for s in range(3)]
        estimates = [kernel_distance(x[i], y[j]) for i, j in subsets]
        logits = torch.from_numpy(10 * features(77, 95, 12, 0.0).astype(np.float64))
        golden["sets"].append({
            "rows": rows, "others": others, "dims": dims, "shift": shift, "nearest": k,
            "frechet": frechet(x, y),
            "kid_size": size, "kid_mean": float(np.mean(estimates)), "kid_deviation": float(np.std(estimates)),
            **compute_prdc(x, y, k),
        })
    score = isc_features_to_metric(logits, splits=7, shuffle=False)
    golden["inception_score"] = {"rows": 95, "classes": 12, "splits": 7, "mean": float(score["inception_score_mean"]), "deviation": float(score["inception_score_std"])}
    golden["images"] = []
    for side in (32, 64, 176, 192):
        a, b = image(5, side, 60), image(99, side, 90)
        c = np.clip(a.astype(int) + (image(31, side, 0).astype(int) // 4), 0, 255).astype(np.uint8)
        golden["images"].append({
            "side": side, "ms_ssim": [similarity(a, b), similarity(a, c)], "spectrum": spectrum(a),
            "correlation": [correlation(a, b), correlation(a, c)],
        })
    p, q = uniform(3, 64), uniform(400, 64) ** 2
    s, t = uniform(900, 41) * 10, np.round(uniform(2000, 33) * 12)
    golden["wasserstein"] = {
        "histograms": float(scipy.stats.wasserstein_distance(np.arange(64) * 4, np.arange(64) * 4, p, q)),
        "samples": float(scipy.stats.wasserstein_distance(s, t)),
    }
    labels = (uniform(55, 48 * 40).reshape(48, 40) * 4).astype(np.uint8)
    labels[10:30, 8:33] = np.where(labels[10:30, 8:33] > 1, 2, labels[10:30, 8:33])
    golden["labels"] = []
    for c in (1, 2, 3):
        centre = scipy.ndimage.center_of_mass(labels == c)
        golden["labels"].append({
            "area": int((labels == c).sum()),
            "components": int(scipy.ndimage.label(labels == c, np.ones((3, 3)))[1]),
            "row": (centre[0] + 0.5) / 48, "column": (centre[1] + 0.5) / 40,
        })
    path = pathlib.Path(__file__).resolve().parents[2] / "crates/metrics/tests/golden/realism.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
