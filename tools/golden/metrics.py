"""Golden values of crates/metrics, from other people's programs: MedPy, MONAI, SimpleITK, brats-evaluation, scipy.

    python tools/golden/metrics.py                        writes crates/metrics/tests/golden/*.json
    python tools/golden/metrics.py --check BENCH_SURFACE [--random 200] [--cohort DIR]
                                                          compares a larger run, writes nothing into the repository

BENCH_SURFACE is the built example `bench_surface`. DIR is a cohort of BraTS layout whose `*seg.nii.gz` are used.
Masks follow rules that Rust repeats from the same numbers, so that no voxel is stored.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from importlib.resources import files

import numpy as np
import scipy.stats
import SimpleITK as sitk
import torch
from medpy.metric import binary as medpy
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from panoptica import Panoptica_Evaluator

GOLDEN = pathlib.Path(__file__).parents[2] / "crates" / "metrics" / "tests" / "golden"
SETS = {
    "classes": {"NCR": [1], "ED": [2], "ET": [3]},
    "regions": {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]},
}


# The names of brats-evaluation for the same sets of labels.
CHALLENGE = {"classes": {"netc": "NCR", "snfh": "ED", "et": "ET"}, "regions": {"wt": "WT", "tc": "TC", "et": "ET"}}


def splitmix64(x):
    with np.errstate(over="ignore"):
        z = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def paint(shape, strokes):
    """A label map from strokes, later ones over earlier ones."""
    labels = np.zeros(shape, np.uint8)
    grid = [axis.astype(np.float64) for axis in np.indices(shape)]
    for stroke in strokes:
        if stroke["kind"] == "ellipsoid":
            d = [((g - c) / r) ** 2 for g, c, r in zip(grid, stroke["center"], stroke["radii"])]
            where = (d[0] + d[1]) + d[2] <= 1.0
        elif stroke["kind"] == "box":
            where = np.all([(g >= a) & (g < b) for g, a, b in zip(grid, stroke["low"], stroke["high"])], axis=0)
        elif stroke["kind"] == "speckle":
            index = np.arange(labels.size, dtype=np.uint64) + np.uint64(stroke["seed"])
            where = (splitmix64(index) % np.uint64(stroke["one_in"]) == 0).reshape(shape)
        labels[where] = stroke["label"]
    return labels


def judge(truth, prediction, spacing, with_monai=True):
    """All metrics of one mask; None where the rule for empty masks says so."""
    values = {"truth_voxels": int(truth.sum()), "prediction_voxels": int(prediction.sum())}
    values.update(dict.fromkeys(["dice", "precision", "recall", "hd", "hd95", "assd", "hd95_monai"]))
    if truth.any() or prediction.any():
        values["dice"] = float(medpy.dc(prediction, truth))
    if prediction.any():
        values["precision"] = float(medpy.precision(prediction, truth))
    if truth.any():
        values["recall"] = float(medpy.recall(prediction, truth))
    if truth.any() and prediction.any():
        values["hd"] = float(medpy.hd(prediction, truth, voxelspacing=spacing))
        values["hd95"] = float(medpy.hd95(prediction, truth, voxelspacing=spacing))
        values["assd"] = float(medpy.assd(prediction, truth, voxelspacing=spacing))
        judge_simpleitk(truth, prediction, spacing, values)
        if with_monai:
            a, b = (torch.from_numpy(m[None, None].astype(np.float32)) for m in (prediction, truth))
            options = dict(include_background=True, spacing=list(spacing))
            values["hd95_monai"] = float(compute_hausdorff_distance(a, b, percentile=95, **options))
            monai = {
                "dice": float(compute_dice(a, b)),
                "hd": float(compute_hausdorff_distance(a, b, **options)),
                "assd": float(compute_average_surface_distance(a, b, symmetric=True, **options)),
            }
            for name, value in monai.items():
                assert abs(value - values[name]) <= 2e-6 * max(1, value), (name, value, values[name])
    return values


def judge_simpleitk(truth, prediction, spacing, values):
    """SimpleITK's overlap and distance maps must say the same; its surface ends at the edge of the image, so one is added."""
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    images = [sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8)) for mask in (truth, prediction)]
    overlap.Execute(*images)
    assert abs(overlap.GetDiceCoefficient() - values["dice"]) < 1e-12
    for image in images:
        image.SetSpacing([float(s) for s in spacing[::-1]])
    contours = [sitk.LabelContour(image, fullyConnected=False) for image in images]
    maps = [sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True) for c in contours]
    surface, away = ([np.abs(sitk.GetArrayFromImage(i)) for i in group] for group in (contours, maps))
    pooled = np.concatenate([away[1][surface[0] > 0], away[0][surface[1] > 0]]).astype(np.float64)
    found = {"hd": pooled.max(), "hd95": np.percentile(pooled, 95), "assd": pooled.mean()}
    for name, value in found.items():
        assert abs(value - values[name]) <= 1e-5 * max(1, value), (name, value, values[name])


def challenge():
    """brats-evaluation with its settings for gliomas, without the instances' distances, which are not compared."""
    text = files("brats_evaluation").joinpath("configs", "config_gli.yaml").read_text()
    wanted, metrics = "instance_metrics: [!Metric DSC, !Metric NSD, !Metric HD95]", "instance_metrics: [!Metric DSC]"
    assert wanted in text
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(text.replace(wanted, metrics))
        config.flush()
        return Panoptica_Evaluator.load_from_config(config.name)


CHALLENGE_EVALUATOR = challenge()


def judge_lesions(truth, prediction, expected):
    """Adds the lesions of brats-evaluation; its Dice of the whole mask must be the other programs'."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = CHALLENGE_EVALUATOR.evaluate(prediction, truth, verbose=False)
    for kind, names in CHALLENGE.items():
        for theirs, ours in names.items():
            found, values = results[theirs].to_dict(), expected[kind][ours]
            tp, fp, fn = (int(found[count]) for count in ("tp", "fp", "fn"))
            values.update(truth_lesions=tp + fn, prediction_lesions=tp + fp, matched_lesions=tp, lesion_dice=None)
            if tp + fp + fn:
                values["lesion_dice"] = float(found["sq_dsc"]) * tp / (tp + fp + fn)
                assert abs(found["global_bin_dsc"] - values["dice"]) < 1e-12


def judge_all(truth, prediction, spacing, with_monai=True):
    pick = lambda labels, members: np.isin(labels, members)
    expected = {
        kind: {n: judge(pick(truth, m), pick(prediction, m), spacing, with_monai) for n, m in sets.items()}
        for kind, sets in SETS.items()
    }
    judge_lesions(truth, prediction, expected)
    return expected


def ellipsoid(label, center, radii):
    return {"kind": "ellipsoid", "label": label, "center": center, "radii": radii}


def box(label, low, high):
    return {"kind": "box", "label": label, "low": low, "high": high}


def speckle(label, seed, one_in):
    return {"kind": "speckle", "label": label, "seed": seed, "one_in": one_in}


def random_strokes(random, shape, count):
    """Blobs and dust in multiples of 1/4, which both languages hold exactly."""
    quarter = lambda low, high: [float(np.round(4 * random.uniform(a, b)) / 4) for a, b in zip(low, high)]
    strokes = []
    for _ in range(count):
        label = int(random.integers(0, 4))
        kind = random.choice(["ellipsoid", "ellipsoid", "box", "speckle"])
        if kind == "ellipsoid":
            radii = quarter([0.75] * 3, [max(1.0, s / 2) for s in shape])
            strokes.append(ellipsoid(label, quarter([0] * 3, shape), radii))
        elif kind == "box":
            low = [int(random.integers(0, s)) for s in shape]
            strokes.append(box(label, low, [int(random.integers(a, s + 1)) for a, s in zip(low, shape)]))
        else:
            strokes.append(speckle(label, int(random.integers(1 << 31)), int(random.integers(20, 400))))
    return strokes


def cases():
    """Named edge cases, then blobs of every kind."""
    nested = [ellipsoid(2, [10, 14, 15], [8, 11, 12]), ellipsoid(3, [10, 13, 14], [5, 6, 7]), ellipsoid(1, [10, 13, 14], [3, 4, 4])]
    moved = [ellipsoid(2, [11, 13, 16], [7.5, 12, 11]), ellipsoid(3, [10, 14, 15], [5.5, 6, 6]), ellipsoid(1, [9, 13, 15], [2.5, 5, 4])]
    shape = [20, 28, 32]
    yield "nested", shape, [1.0, 1.0, 1.0], nested, moved
    yield "nested_anisotropic", shape, [3.0, 0.75, 1.25], nested, moved
    yield "nested_thick_slices", shape, [5.0, 0.4297, 0.4297], nested, moved
    yield "identical", shape, [1.0, 1.0, 1.0], nested, nested
    yield "both_empty", shape, [1.0, 1.0, 1.0], [], []
    yield "truth_empty", shape, [1.0, 1.0, 1.0], [], moved
    yield "prediction_empty", shape, [1.0, 1.0, 1.0], nested, []
    yield "no_et_in_truth", shape, [1.0, 1.0, 1.0], nested[:1], moved
    yield "no_et_in_prediction", shape, [2.0, 1.0, 1.0], nested, moved[:1]
    yield "whole_image", [6, 7, 9], [1.0, 2.0, 3.0], [box(1, [0, 0, 0], [6, 7, 9])], [box(1, [0, 0, 0], [6, 7, 9])]
    yield "whole_image_and_a_corner", [6, 7, 9], [1.5, 1.0, 1.0], [box(1, [0, 0, 0], [6, 7, 9])], [box(1, [5, 6, 8], [6, 7, 9])]
    yield "touching_the_border", [12, 12, 12], [1.0, 1.0, 1.0], [ellipsoid(1, [0, 6, 6], [5, 5, 5])], [ellipsoid(1, [0, 5, 11], [6, 5, 5])]
    yield "opposite_corners", [30, 31, 70], [1.0, 0.5, 2.0], [box(3, [0, 0, 0], [1, 1, 1])], [box(3, [29, 30, 69], [30, 31, 70])]
    yield "one_voxel_volume", [1, 1, 1], [1.0, 1.0, 1.0], [box(2, [0, 0, 0], [1, 1, 1])], [box(2, [0, 0, 0], [1, 1, 1])]
    yield "one_slice", [1, 40, 40], [1.0, 0.9, 1.1], [ellipsoid(1, [0, 20, 20], [1, 9, 12])], [ellipsoid(1, [0, 17, 25], [1, 11, 8])]
    yield "one_row", [1, 1, 200], [1.0, 1.0, 0.3], [box(1, [0, 0, 10], [1, 1, 80])], [box(1, [0, 0, 60], [1, 1, 190])]
    yield "hollow_shell", [24, 24, 24], [1.0, 1.0, 1.0], [ellipsoid(1, [12, 12, 12], [10, 10, 10]), ellipsoid(0, [12, 12, 12], [9, 9, 9])], [ellipsoid(1, [12, 12, 12], [2, 2, 2])]
    yield "far_false_positive", [40, 60, 130], [1.0, 1.0, 1.0], nested, moved + [box(2, [37, 55, 120], [39, 58, 128])]
    yield "dust", [16, 24, 70], [1.0, 1.0, 1.0], [speckle(1, 7, 50), speckle(3, 9, 90)], [speckle(1, 11, 60), speckle(2, 12, 400)]
    yield "dense_dust", [10, 20, 66], [2.0, 1.0, 0.5], [speckle(2, 1, 2)], [speckle(2, 2, 2), speckle(1, 3, 3)]
    random = np.random.default_rng(2024)
    for i in range(20):
        shape = [int(random.integers(1, 24)), int(random.integers(1, 40)), int(random.integers(1, 90))]
        spacing = [1.0] * 3 if i % 3 == 0 else [float(np.round(random.uniform(0.3, 4), 3)) for _ in range(3)]
        yield f"random_{i:02}", shape, spacing, random_strokes(random, shape, 5), random_strokes(random, shape, 5)


def provenance():
    packages = {p: version(p) for p in ["brats-evaluation", "medpy", "monai", "numpy", "panoptica", "scipy", "SimpleITK"]}
    return {"script": "tools/golden/metrics.py", "python": platform.python_version(), "packages": packages}


def write_surface():
    out = []
    for name, shape, spacing, truth, prediction in cases():
        expected = judge_all(paint(shape, truth), paint(shape, prediction), spacing)
        out.append(dict(name=name, shape=shape, spacing_mm=spacing, truth=truth, prediction=prediction, expected=expected))
    write("segmentation.json", {"provenance": provenance(), "cases": out})


def holm(p_values):
    order = np.argsort(p_values)
    m = len(p_values)
    stepped = np.maximum.accumulate([(m - k) * p_values[i] for k, i in enumerate(order)])
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted.tolist()


def write_statistics():
    random = np.random.default_rng(7)
    tests = []
    for n in [1, 2, 5, 10, 13, 30, 50, 51, 56, 200]:
        for ties in [False, True]:
            d = random.normal(0.3, 1, n)
            d = np.round(d * 2) / 2 if ties else d
            if not d.any():
                continue
            kept = d[d != 0]
            tied = len(np.unique(np.abs(kept))) < len(kept)
            # scipy has no exact p value with ties beyond 13 differences: there only the statistic is compared.
            method = "asymptotic" if len(kept) > 50 else "auto" if tied and n <= 13 else None if tied else "exact"
            result = scipy.stats.wilcoxon(kept, method=method or "asymptotic", correction=False)
            p = None if method is None else float(result.pvalue)
            tests.append(dict(differences=d.tolist(), statistic=float(result.statistic), p_value=p, n=len(kept)))
    intervals = []
    for n in [4, 10, 56]:
        sample = random.beta(5, 1.5, n)
        level = 0.9 if n == 10 else 0.95
        many = scipy.stats.bootstrap((sample,), np.mean, n_resamples=400_000, method="percentile", confidence_level=level, rng=1, batch=10_000)
        means = many.bootstrap_distribution
        # Standard error of a quantile from 20,000 resamples, by the density around it.
        tail = (1 - level) / 2
        near = lambda q: (np.quantile(means, q + 0.004) - np.quantile(means, q - 0.004)) / 0.008
        error = max(near(tail), near(1 - tail)) * np.sqrt(tail * (1 - tail) / 20_000)
        ends = many.confidence_interval
        intervals.append(dict(sample=sample.tolist(), level=level, resamples=20_000, low=float(ends.low), high=float(ends.high), standard_error=float(error)))
    p_values = random.uniform(0, 0.2, 9).tolist()
    write("statistics.json", {"provenance": provenance(), "wilcoxon": tests, "bootstrap": intervals, "holm": {"p_values": p_values, "adjusted": holm(p_values)}})


def write(name, content):
    GOLDEN.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, separators=(",", ":")).replace('},{"name"', '},\n{"name"').replace('},{"differences"', '},\n{"differences"')
    (GOLDEN / name).write_text(text + "\n")
    print(f"{name}: {len(text)} bytes")


def perturb(truth, random):
    """A plausible prediction: the truth moved a little, with some parts lost, relabelled and invented."""
    prediction = np.roll(truth, random.integers(-2, 3, 3), axis=(0, 1, 2))
    z, y, x = (axis.astype(np.float32) for axis in np.indices(truth.shape, sparse=True))
    wave = np.sin(z / 5 + random.uniform(0, 6)) + np.sin(y / 7 + random.uniform(0, 6)) + np.sin(x / 6 + random.uniform(0, 6))
    prediction = np.where(wave > 2.0, 0, prediction)
    prediction = np.where((wave < -1.7) & (prediction > 0), 2, prediction).astype(np.uint8)
    for _ in range(3):
        low = [int(random.integers(0, s - 4)) for s in truth.shape]
        prediction[tuple(slice(a, a + 4) for a in low)] = random.integers(1, 4)
    return prediction


def cohort_pairs(cohort):
    import nibabel

    random = np.random.default_rng(5)
    for path in sorted(pathlib.Path(cohort).glob("*/*seg.nii.gz")):
        image = nibabel.load(path)
        labels = np.asarray(image.dataobj).T.astype(np.uint8)
        truth = np.ascontiguousarray(np.where(labels == 4, 3, labels))
        yield len(truth), truth, perturb(truth, random), [float(s) for s in image.header.get_zooms()[::-1]]


def check(program, count, cohort):
    pairs = []
    random = np.random.default_rng(99)
    for i in range(count):
        shape = [int(random.integers(1, 48)), int(random.integers(1, 64)), int(random.integers(1, 140))]
        spacing = [1.0] * 3 if i % 4 == 0 else [float(random.uniform(0.2, 5)) for _ in range(3)]
        pairs.append((f"random {i}", *(paint(shape, random_strokes(random, shape, 6)) for _ in "tp"), spacing))
    if cohort:
        pairs += [(f"real {i}", t, p, s) for i, (_, t, p, s) in enumerate(cohort_pairs(cohort))]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        listing = []
        for i, (name, truth, prediction, spacing) in enumerate(pairs):
            (folder / f"{i}.t").write_bytes(truth.tobytes())
            (folder / f"{i}.p").write_bytes(prediction.tobytes())
            listing.append(dict(name=name, shape=truth.shape, spacing_mm=spacing, truth=f"{i}.t", prediction=f"{i}.p"))
        (folder / "cases.json").write_text(json.dumps(listing))
        lines = subprocess.run([program, "--repeats", "1", folder / "cases.json"], check=True, capture_output=True, text=True).stdout
    worst, compared = {}, 0
    for line, (name, truth, prediction, spacing) in zip(lines.splitlines(), pairs, strict=True):
        found, expected = json.loads(line), judge_all(truth, prediction, spacing, with_monai=max(truth.shape) < 150)
        for kind, sets in SETS.items():
            for label in sets:
                mine, theirs = found[kind][label], expected[kind][label]
                for metric, value in theirs.items():
                    got = mine.get(metric)
                    if metric == "hd95_monai":
                        continue
                    assert (value is None) == (got is None), (name, label, metric, value, got)
                    if value is not None:
                        compared += 1
                        worst[metric] = max(worst.get(metric, 0.0), abs(got - value) / max(abs(value), 1e-300) if got != value else 0.0)
    print(json.dumps({"masks": len(pairs), "values": compared, "largest_relative_difference": worst}))
    if max(worst.values()) > 1e-12:
        sys.exit("values differ")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check")
    arguments.add_argument("--random", type=int, default=200)
    arguments.add_argument("--cohort")
    arguments = arguments.parse_args()
    if arguments.check:
        check(arguments.check, arguments.random, arguments.cohort)
    else:
        write_surface()
        write_statistics()


if __name__ == "__main__":
    main()
