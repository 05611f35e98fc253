"""Swin-T + UPerNet of transformers, as users run it: the peer of `bench_segmenters`.

The same network, batch and step: cross-entropy of both heads (the model's own loss), clip_grad_norm_, torch.optim.SGD with
Nesterov momentum. Prediction is the model's forward and the largest logit.

    pip install torch==2.11.0 numpy && pip install --no-deps transformers==5.23.0 tokenizers
    python tools/bench/segmenters_torch.py [RUNS [THREADS]]

prints one JSON line a measurement, then all again under the allocator's settings in _peer.py.
"""

import pathlib
import sys

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
from swin_upernet import network  # noqa: E402

from _peer import again_with_tuned_allocator, report, seconds  # noqa: E402

BATCHES = ((256, 2), (128, 4))


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    torch.set_num_threads(threads)
    for side, batch in BATCHES:
        torch.manual_seed(0)
        images = torch.randn(batch, 4, side, side)
        labels = torch.randint(0, 4, (batch, side, side))
        for name in ("f32", "bf16 autocast"):
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=name != "f32")
            model = network(4, 4, side, 96, (2, 2, 6, 2), (3, 6, 12, 24), 7, 512, 256, drop_path=0.2)
            optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.99, nesterov=True, weight_decay=3e-5)

            def step():
                optimiser.zero_grad()
                with autocast:
                    loss = model(images, labels=labels).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 12)
                optimiser.step()
                return loss.item()

            @torch.no_grad()
            def predict():
                with autocast:
                    return model(images).logits.argmax(1)[0, 0, 0].item()

            model.train()
            system, more = f"transformers {name}", {"version": transformers.__version__}
            report(f"swin-t-upernet-train-step-{side}", system, seconds(runs, step), **more)
            model.eval()
            report(f"swin-t-upernet-predict-{side}", system, seconds(runs, predict), **more)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
