"""Golden values for processes and samplers: OpenAI's guided-diffusion (PyPI: guided-diffusion-sdk 1.0.0, MIT) for the
discrete chain, diffusers (Apache-2.0) for EDM and rectified flow.

    pip install torch==2.11.0 numpy diffusers==0.42.1
    pip install guided-diffusion-sdk==1.0.0 --no-deps
    python tools/golden/diffusion.py
"""

import json
import pathlib

import diffusers
import numpy as np
import torch
from guided_diffusion import gaussian_diffusion as gd
from guided_diffusion.respace import SpacedDiffusion

SHAPE = (1, 1, 2, 3)


def values(tensor):
    return tensor.double().flatten().tolist()


def chain(schedule, steps):
    betas = gd.get_named_beta_schedule(schedule, steps)
    kept = np.cumprod(1 - betas)
    picked = sorted({0, 1, steps // 3, steps // 2, steps - 2, steps - 1})
    return {"schedule": schedule, "steps": steps, "at": picked, "sigma": [float(np.sqrt(1 / kept[i] - 1)) for i in picked]}


def ancestral_steps(use, variance, clip):
    """Single steps of guided-diffusion with a constant network, over the whole chain or every fifth step of it."""
    total = 50
    betas = gd.get_named_beta_schedule("linear", total)
    diffusion = SpacedDiffusion(
        use_timesteps=use,
        betas=betas,
        model_mean_type=gd.ModelMeanType.EPSILON,
        model_var_type=gd.ModelVarType.FIXED_LARGE if variance == "forward" else gd.ModelVarType.FIXED_SMALL,
        loss_type=gd.LossType.MSE,
        rescale_timesteps=False,
    )
    out = []
    for index in (1, len(use) // 2, len(use) - 1):
        x, eps = torch.randn(SHAPE), torch.randn(SHAPE)
        t = torch.tensor([index])
        moments = diffusion.p_mean_variance(lambda x, t, **_: eps, x, t, clip_denoised=clip)
        ddim = diffusion.ddim_sample(lambda x, t, **_: eps, x, t, clip_denoised=clip, eta=0.0)
        out.append(
            {
                "level": int(sorted(use)[index]),
                "next": int(sorted(use)[index - 1]),
                "x": values(x),
                "eps": values(eps),
                "mean": values(moments["mean"]),
                "deviation": float(moments["variance"].flatten()[0].sqrt()),
                "ddim": values(ddim["sample"]),
            }
        )
    return {"total": total, "variance": variance, "clip": clip, "steps": out}


def learned(use):
    """Variances of steps with a constant network that says where between its bounds each lies; of the whole chain also the
    terms of the variational bound, the first of them the surprise at the grey values."""
    total = 50
    diffusion = SpacedDiffusion(
        use_timesteps=use,
        betas=gd.get_named_beta_schedule("linear", total),
        model_mean_type=gd.ModelMeanType.EPSILON,
        model_var_type=gd.ModelVarType.LEARNED_RANGE,
        loss_type=gd.LossType.RESCALED_MSE,
        rescale_timesteps=False,
    )
    out = []
    for index in (0, 1, len(use) // 2, len(use) - 1):
        image, noise, eps = (torch.randn(SHAPE) for _ in range(3))
        image = (image * 0.6).clamp(-1, 1)
        planes = torch.rand(SHAPE) * 2 - 1
        t = torch.tensor([index])
        x = diffusion.q_sample(image, t, noise=noise)
        model = lambda x, t, **_: torch.cat([eps, planes], 1)
        moments = diffusion.p_mean_variance(model, x, t, clip_denoised=False)
        bound = diffusion._vb_terms_bpd(model, x_start=image, x_t=x, t=t, clip_denoised=False)["output"]
        out.append(
            {
                "level": int(sorted(use)[index]),
                "next": int(sorted(use)[index - 1]) if index else None,
                "image": values(image),
                "x": values(x),
                "eps": values(eps),
                "planes": values(planes),
                "log_variance": values(moments["log_variance"]),
                "bound": float(bound) if len(use) == total else None,
            }
        )
    return {"total": total, "steps": out}


def edm():
    scheduler = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80, sigma_data=0.5, rho=7)
    scheduler.set_timesteps(18)
    x, output = torch.randn(6), torch.randn(6)
    levels = []
    for sigma in (0.002, 0.3, 1.0, 80.0):
        sigma = torch.tensor(sigma, dtype=torch.float64)
        levels.append(
            {
                "sigma": float(sigma),
                "input": values(scheduler.precondition_inputs(x.double(), sigma)),
                "denoised": values(scheduler.precondition_outputs(x.double(), output.double(), sigma)),
            }
        )
    return {"sigmas": values(scheduler.sigmas[:-1]), "x": values(x), "output": values(output), "levels": levels}


def flow():
    """Three Euler steps from noise with a constant network: the scheduler's sigmas are our times."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    z, v = torch.randn(6), torch.randn(6)
    out = []
    for time, following in ((0.9, 0.6), (0.6, 0.25), (0.25, 0.1)):
        scheduler.set_timesteps(sigmas=[time, following])
        after = scheduler.step(v, scheduler.timesteps[0], z).prev_sample
        out.append({"time": time, "next": following, "z": values(z), "velocity": values(v), "after": values(after)})
        z = after
    return out


def main():
    torch.manual_seed(20261122)
    golden = {
        "provenance": {"diffusers": diffusers.__version__, "guided-diffusion-sdk": "1.0.0", "script": "tools/golden/diffusion.py"},
        "chains": [chain("linear", 4000), chain("linear", 1000), chain("cosine", 4000), chain("cosine", 50)],
        "ancestral": [
            ancestral_steps(set(range(50)), "posterior", False),
            ancestral_steps(set(range(50)), "forward", True),
            ancestral_steps(set(range(0, 50, 7)), "posterior", True),
            ancestral_steps(set(range(0, 50, 7)), "forward", False),
        ],
        "edm": edm(),
        "flow": flow(),
        "learned": [learned(set(range(50))), learned(set(range(0, 50, 7)))],
    }
    path = pathlib.Path(__file__).resolve().parents[2] / "crates/train/tests/golden/diffusion.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
