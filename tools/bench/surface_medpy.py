"""MedPy's HD95 of three classes and three regions: the peer of `bench_surface`.

    python tools/bench/surface_medpy.py
    python tools/bench/surface_medpy.py BENCH_SURFACE [--cohort DIR] [--repeats N]

The first form times MedPy on the made-up subject of 240 x 240 x 155 that `bench_surface` uses. The second also runs
BENCH_SURFACE, the built example, on the same label maps and compares the values; with --cohort on every
`*seg.nii.gz` of a BraTS cohort too, its prediction being the truth perturbed, and prints a last line with the ratios.
MedPy computes HD95 alone; ours computes Dice, precision, recall, HD, HD95 and ASSD for the same.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from medpy.metric.binary import hd95

from _peer import report, seconds

SETS = {
    "classes": {"NCR": [1], "ED": [2], "ET": [3]},
    "regions": {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]},
}


def made_up():
    """The subject of `bench_surface`: truth and prediction, [z, y, x]."""

    def paint(s):
        labels = np.zeros([155, 240, 240], np.uint8)
        grid = np.ogrid[0.0:155, 0.0:240, 0.0:240]
        for label, center, radii in [
            (2, [80 + s, 120 + s, 90 - s], [32, 45 - s, 38]),
            (3, [84 + s, 118, 92], [17, 20, 19 + s]),
            (1, [84, 118 + s, 92], [12, 14, 13 - s]),
        ]:
            labels[sum(((g - c) / r) ** 2 for g, c, r in zip(grid, center, radii)) <= 1] = label
        return labels

    return "synthetic", paint(0), paint(3), [1.0, 1.0, 1.0]


def medpy_values(truth, prediction, spacing):
    values = {kind: {} for kind in SETS}
    for kind, sets in SETS.items():
        for name, members in sets.items():
            t, p = np.isin(truth, members), np.isin(prediction, members)
            value = float(hd95(p, t, voxelspacing=spacing)) if t.any() and p.any() else None
            values[kind][name] = {"hd95": value}
    return values


def timed(case, truth, prediction, spacing, repeats):
    """Prints MedPy's line; its values and median time."""
    results = []
    times = seconds(repeats, lambda: results.append(medpy_values(truth, prediction, spacing)), warm_up=0)
    z, y, x = truth.shape
    report(f"hd95-{x}x{y}x{z}", "medpy hd95", times, case=case, **results[0])
    return results[0], statistics.median(times)


def ours_of(program, case, truth, prediction, spacing):
    """The line of `bench_surface` on the same label maps."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "t").write_bytes(truth.tobytes())
        (folder / "p").write_bytes(prediction.tobytes())
        listed = dict(name=case, shape=truth.shape, spacing_mm=spacing, truth="t", prediction="p")
        (folder / "cases.json").write_text(json.dumps([listed]))
        command = [program, "--repeats", "15", folder / "cases.json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compared(program, pairs, repeats):
    ratios, times, worst = [], [], 0.0
    for case, truth, prediction, spacing in pairs:
        ours = ours_of(program, case, truth, prediction, spacing)
        print(json.dumps({k: v for k, v in ours.items() if k not in SETS}))
        values, median = timed(case, truth, prediction, spacing, repeats)
        ratios.append(median / ours["seconds_median"])
        times.append(ours["seconds_median"])
        for kind, sets in SETS.items():
            for label in sets:
                value, found = values[kind][label]["hd95"], ours[kind][label]["hd95"]
                if (value is None) != (found is None):
                    sys.exit(f"{case} {label}: {found} is not {value}")
                if value:
                    worst = max(worst, abs(found / value - 1))
    print(json.dumps(dict(
        cases=len(ratios), ours_seconds_median=statistics.median(times), ours_seconds_max=max(times),
        times_faster_median=statistics.median(ratios), times_faster_min=min(ratios),
        hd95_largest_relative_difference=worst,
    )))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program", nargs="?")
    arguments.add_argument("--cohort")
    arguments.add_argument("--repeats", type=int, default=1)
    arguments = arguments.parse_args()
    if not arguments.program:
        if arguments.cohort:
            sys.exit("--cohort wants BENCH_SURFACE")
        timed(*made_up(), arguments.repeats)
        return
    pairs = [made_up()]
    if arguments.cohort:
        # Needs what the golden values need, MONAI among them.
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
        from metrics import cohort_pairs

        pairs += [(f"real {i}", t, p, s) for i, (_, t, p, s) in enumerate(cohort_pairs(arguments.cohort))]
    compared(arguments.program, pairs, arguments.repeats)


if __name__ == "__main__":
    main()
