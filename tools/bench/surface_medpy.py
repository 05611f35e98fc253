"""Times MedPy's HD95 beside all of our metrics on the same label maps in one run, and compares the values.

    python tools/bench/surface_medpy.py BENCH_SURFACE [--cohort DIR] [--repeats N]

BENCH_SURFACE is the built example `bench_surface` of crates/metrics. Always a made-up subject of 240 x 240 x 155;
with --cohort also every `*seg.nii.gz` of a BraTS cohort, its prediction being the truth perturbed. Prints one JSON
line a case and program, and a last line with the ratios. MedPy computes HD95 alone, for three classes and three
regions; ours computes Dice, precision, recall, HD, HD95 and ASSD for the same.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from medpy.metric.binary import hd95

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden"))
from metrics import SETS, cohort_pairs, ellipsoid, paint  # noqa: E402


def synthetic():
    shape = [155, 240, 240]
    strokes = lambda s: [
        ellipsoid(2, [80 + s, 120 + s, 90 - s], [32, 45 - s, 38]),
        ellipsoid(3, [84 + s, 118, 92], [17, 20, 19 + s]),
        ellipsoid(1, [84, 118 + s, 92], [12, 14, 13 - s]),
    ]
    return "synthetic", paint(shape, strokes(0)), paint(shape, strokes(3)), [1.0, 1.0, 1.0]


def medpy_values(truth, prediction, spacing):
    values = {}
    for kind, sets in SETS.items():
        for name, members in sets.items():
            t, p = np.isin(truth, members), np.isin(prediction, members)
            values[kind, name] = hd95(p, t, voxelspacing=spacing) if t.any() and p.any() else None
    return values


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--cohort")
    arguments.add_argument("--repeats", type=int, default=1)
    arguments = arguments.parse_args()
    pairs = [synthetic()]
    if arguments.cohort:
        pairs += [(f"real {i}", t, p, s) for i, (_, t, p, s) in enumerate(cohort_pairs(arguments.cohort))]
    ratios, times, worst = [], [], 0.0
    for name, truth, prediction, spacing in pairs:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "t").write_bytes(truth.tobytes())
            (folder / "p").write_bytes(prediction.tobytes())
            case = dict(name=name, shape=truth.shape, spacing_mm=spacing, truth="t", prediction="p")
            (folder / "cases.json").write_text(json.dumps([case]))
            command = [arguments.program, "--repeats", "15", folder / "cases.json"]
            ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(json.dumps({k: v for k, v in ours.items() if k not in SETS}))
        seconds = []
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            values = medpy_values(truth, prediction, spacing)
            seconds.append(time.perf_counter() - start)
        line = dict(bench="surface", peer="medpy hd95", case=name, shape=truth.shape, repeats=arguments.repeats)
        line |= dict(seconds_median=statistics.median(seconds), seconds_min=min(seconds))
        print(json.dumps(line), flush=True)
        ratios.append(line["seconds_median"] / ours["seconds_median"])
        times.append(ours["seconds_median"])
        for (kind, label), value in values.items():
            found = ours[kind][label]["hd95"]
            if (value is None) != (found is None):
                sys.exit(f"{name} {label}: {found} is not {value}")
            if value:
                worst = max(worst, abs(found / value - 1))
    print(json.dumps(dict(
        bench="surface", cases=len(pairs), ours_seconds_median=statistics.median(times), ours_seconds_max=max(times),
        times_faster_median=statistics.median(ratios), times_faster_min=min(ratios),
        hd95_largest_relative_difference=worst,
    )))


if __name__ == "__main__":
    main()
