"""OpenAI's guided-diffusion (PyPI: guided-diffusion-sdk 1.0.0), as users run it: the peer of `bench_diffusion`.

Its own network, its own training losses for 4,000 steps with the noise predicted, AdamW and an average of the weights
parameter by parameter as in its train_util; at 64x64 with 30.3 M parameters, from
128x128 on the study's with 41.1 M. The same network learns a straight path from image to noise as well (rectified flow).

    pip install guided-diffusion-sdk==1.0.0 --no-deps
    python tools/bench/diffusion_guided.py [RUNS [THREADS [SIDE [BATCH]]]]

prints one JSON line a measurement, then all again under the allocator's settings in _peer.py.
"""

import warnings

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from guided_diffusion import gaussian_diffusion as gd  # noqa: E402
from guided_diffusion.nn import update_ema  # noqa: E402
from guided_diffusion.unet import UNetModel  # noqa: E402

from _peer import again_with_tuned_allocator, arguments, report, seconds  # noqa: E402

PLANES, STEPS = 5, 4000


def main():
    runs, side, batch = arguments(5, 64, 8)
    torch.manual_seed(0)
    diffusion = gd.GaussianDiffusion(
        betas=gd.get_named_beta_schedule("linear", STEPS),
        model_mean_type=gd.ModelMeanType.EPSILON,
        model_var_type=gd.ModelVarType.FIXED_LARGE,
        loss_type=gd.LossType.MSE,
    )
    images = torch.rand(batch, PLANES, side, side) * 2 - 1
    for name in ("f32", "bf16 autocast"):
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=name != "f32")
        network = UNetModel(
            side, PLANES, 64, PLANES, 3, (side // 16, side // 8),
            channel_mult=(1, 2, 3, 4) if side == 64 else (1, 1, 2, 2, 4, 4), num_heads=4, use_scale_shift_norm=True,
        )
        average = [p.detach().clone() for p in network.parameters()]
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.0)

        def noise_predicted():
            return diffusion.training_losses(network, images, torch.randint(0, STEPS, (batch,)))["loss"].mean()

        def velocity_predicted():
            t, noise = torch.rand(batch), torch.randn_like(images)
            share = t.view(-1, 1, 1, 1)
            found = network((1 - share) * images + share * noise, t * 1000)
            return (found - (noise - images)).square().mean()

        def step(losses):
            optimiser.zero_grad()
            with autocast:
                loss = losses()
            loss.backward()
            optimiser.step()
            update_ema(average, list(network.parameters()), rate=0.9999)
            return loss.item()

        @torch.no_grad()
        def call():
            with autocast:
                return network(images, torch.full((batch,), 100))[0, 0, 0, 0].item()

        works = {
            f"diffusion-{side}-step": lambda: step(noise_predicted),
            f"flow-{side}-step": lambda: step(velocity_predicted),
            f"diffusion-{side}-call": call,
        }
        for bench, work in works.items():
            report(bench, f"guided-diffusion {name}", seconds(runs, work))


if __name__ == "__main__":
    main()
    again_with_tuned_allocator()
