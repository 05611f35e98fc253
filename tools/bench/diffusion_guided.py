"""OpenAI's guided-diffusion (PyPI: guided-diffusion-sdk 1.0.0), as users run it: the peer of `bench_diffusion`.

Its own network, its own training losses for 4,000 steps with the noise predicted, AdamW and an average of the weights
parameter by parameter as in its train_util; 30.3 M parameters, batch 8 of 5 x 64 x 64.

    pip install guided-diffusion-sdk==1.0.0 --no-deps
    python tools/bench/diffusion_guided.py [RUNS [THREADS]]

prints one JSON line a measurement, then all again under the allocator's settings in _peer.py.
"""

import sys
import warnings

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from guided_diffusion import gaussian_diffusion as gd  # noqa: E402
from guided_diffusion.nn import update_ema  # noqa: E402
from guided_diffusion.unet import UNetModel  # noqa: E402

from _peer import again_with_tuned_allocator, report, seconds  # noqa: E402

BATCH, PLANES, SIDE, STEPS = 8, 5, 64, 4000


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    torch.manual_seed(0)
    diffusion = gd.GaussianDiffusion(
        betas=gd.get_named_beta_schedule("linear", STEPS),
        model_mean_type=gd.ModelMeanType.EPSILON,
        model_var_type=gd.ModelVarType.FIXED_LARGE,
        loss_type=gd.LossType.MSE,
    )
    images = torch.rand(BATCH, PLANES, SIDE, SIDE) * 2 - 1
    for name in ("f32", "bf16 autocast"):
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=name != "f32")
        network = UNetModel(
            SIDE, PLANES, 64, PLANES, 3, (4, 8), channel_mult=(1, 2, 3, 4), num_heads=4, use_scale_shift_norm=True
        )
        average = [p.detach().clone() for p in network.parameters()]
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.0)

        def step():
            optimiser.zero_grad()
            t = torch.randint(0, STEPS, (BATCH,))
            with autocast:
                loss = diffusion.training_losses(network, images, t)["loss"].mean()
            loss.backward()
            optimiser.step()
            update_ema(average, list(network.parameters()), rate=0.9999)
            return loss.item()

        @torch.no_grad()
        def call():
            with autocast:
                return network(images, torch.full((BATCH,), 100))[0, 0, 0, 0].item()

        for bench, work in (("diffusion-64-step", step), ("diffusion-64-call", call)):
            report(bench, f"guided-diffusion {name}", seconds(runs, work))


if __name__ == "__main__":
    main()
    again_with_tuned_allocator()
