"""Swin-T + UPerNet of transformers and nnU-Net's residual-encoder U-Net, as users run them: the peer of `bench_segmenters`.

The same networks, batches and steps: cross-entropy of all heads (of UPerNet the model's own loss; nnU-Net compares lower
heads with labels made smaller, which is less work than ours), clip_grad_norm_, torch.optim.SGD with Nesterov momentum.
Prediction is the model's forward and the largest logit.

    pip install torch==2.11.0 numpy
    pip install --no-deps transformers==5.23.0 tokenizers dynamic-network-architectures==0.4.4
    python tools/bench/segmenters_torch.py [RUNS [THREADS [SIDE [BATCH]]]]

prints one JSON line a measurement, then all again under the allocator's settings in _peer.py.
"""

import importlib.metadata
import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import resenc  # noqa: E402
import swin_upernet  # noqa: E402

from _peer import again_with_tuned_allocator, arguments, report, seconds  # noqa: E402


class Swin:
    name, package = "swin-t-upernet", "transformers"

    def __init__(self, side):
        sizes = dict(embedding=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=7, decoder=512, auxiliary=256)
        self.model = swin_upernet.network(4, 4, side, **sizes, drop_path=0.2)

    def train(self):
        self.model.train()

    def loss(self, images, labels):
        return self.model(images, labels=labels).loss

    def predict(self, images):
        """Without the auxiliary head, which the model's forward would compute for nothing."""
        self.model.eval()
        head, self.model.auxiliary_head = self.model.auxiliary_head, None
        logits = self.model(images).logits
        self.model.auxiliary_head = head
        return logits


class ResEnc:
    name, package = "resenc-6", "dynamic-network-architectures"

    def __init__(self, side):
        self.model = resenc.published(4, 4, 6)
        self.weights = [w / (2 - 1 / 8) for w in (1, 1 / 2, 1 / 4, 1 / 8)]

    def train(self):
        self.model.train()
        self.model.decoder.deep_supervision = True

    def loss(self, images, labels):
        levels = zip(self.weights, self.model(images))
        return sum(w * F.cross_entropy(y, labels[:, :: 1 << i, :: 1 << i]) for i, (w, y) in enumerate(levels))

    def predict(self, images):
        self.model.eval()
        self.model.decoder.deep_supervision = False
        return self.model(images)


def measure(contestant, side, batch, precision, runs):
    torch.manual_seed(0)
    images = torch.randn(batch, 4, side, side)
    labels = torch.randint(0, 4, (batch, side, side))
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision != "f32")
    parameters = list(contestant.model.parameters())
    optimiser = torch.optim.SGD(parameters, lr=1e-3, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step():
        contestant.train()
        optimiser.zero_grad()
        with autocast:
            loss = contestant.loss(images, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 12)
        optimiser.step()
        return loss.item()

    @torch.no_grad()
    def predict():
        with autocast:
            return contestant.predict(images).argmax(1)[0, 0, 0].item()

    version = importlib.metadata.version(contestant.package)
    for what, work in (("train-step", step), ("predict", predict)):
        bench = f"{contestant.name}-{what}-{side}"
        report(bench, f"{contestant.package} {precision}", seconds(runs, work), version=version)


def main():
    runs, side, batch = arguments(3, 128, 4)
    for precision in ("f32", "bf16 autocast"):
        for family in (Swin, ResEnc):
            measure(family(side), side, batch, precision, runs)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
