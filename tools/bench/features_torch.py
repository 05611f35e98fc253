"""Inception features at 299x299 with pytorch-fid's network: the peer of `bench_features`.

    python tools/bench/features_torch.py [RUNS [THREADS [SIDE [BATCH]]]]

Random weights: the time does not depend on them. Images are grey, SIDE pixels before they are enlarged.
"""

import pathlib
import sys

import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import features

from _peer import again_with_tuned_allocator, arguments, report, seconds


@torch.no_grad()
def main():
    runs, side, batch = arguments(3, 64, 32)
    features.inception.fid_inception_v3 = features.build
    network = features.inception.InceptionV3([3]).eval()
    images = torch.randint(0, 256, (batch, 1, side, side), dtype=torch.uint8)
    times = seconds(runs, lambda: network(images.expand(-1, 3, -1, -1).float() / 255))
    report(f"inception-{batch}", "pytorch-fid", times, version=torch.__version__)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
