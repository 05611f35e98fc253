"""The study's U-Net in plain PyTorch, as users run it: the peer of `bench_unet`.

The same network, batch and step: nn.Module layers in the authors' order (doubling, then 1x1 convolution), Dice and
cross-entropy at every decoder level but the lowest, clip_grad_norm_, torch.optim.SGD with Nesterov momentum.

    python tools/bench/unet_torch.py [RUNS [THREADS [SIDE [BATCH]]]]

prints one JSON line a measurement, then all again under the allocator's settings in _peer.py.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
from unet import UNet  # noqa: E402

from _peer import again_with_tuned_allocator, arguments, report, seconds  # noqa: E402

WARM_UP, SMOOTH = 3, 1e-5


def dice_cross_entropy(logits, labels):
    p = F.softmax(logits, 1)
    y = F.one_hot(labels, p.shape[1]).permute(0, 3, 1, 2).float()
    axes = (0, 2, 3)
    dice = (2 * (p * y).sum(axes) + SMOOTH) / (p.sum(axes) + y.sum(axes) + SMOOTH)
    return 1 - dice.mean() + F.cross_entropy(logits, labels)


def standardised(images):
    x = images.float() / 256
    channels = []
    for image in x.flatten(0, 1):
        foreground = image[image != 0]
        channels.append((image - foreground.mean()) / foreground.std())
    return torch.stack(channels).view_as(x)


def main():
    runs, side, batch = arguments(10, 64, 16)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (batch, 4, side, side), dtype=torch.uint8)
    labels = torch.randint(0, 4, (batch, side, side))
    weights = torch.tensor([1, 1 / 2, 1 / 4])
    weights = weights / weights.sum()
    for name in ("f32", "bf16 autocast"):
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=name != "f32")
        network = UNet(4, 4, 32, 5, "same")
        optimiser = torch.optim.SGD(network.parameters(), lr=2e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)

        def step():
            optimiser.zero_grad()
            x = standardised(images)
            with autocast:
                levels = network(x, side)
            loss = sum(w * dice_cross_entropy(level.float(), labels) for w, level in zip(weights, levels))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
            optimiser.step()
            return loss.item()

        @torch.no_grad()
        def predict():
            with autocast:
                return network(standardised(images), side)[0].argmax(1)

        for bench, work in ((f"unet-train-step-{side}", step), (f"unet-predict-{side}", predict)):
            report(bench, f"pytorch {name}", seconds(runs, work, WARM_UP), version=torch.__version__)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
