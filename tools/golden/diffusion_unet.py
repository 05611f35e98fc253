"""Golden values for the diffusion U-Net, from OpenAI's guided-diffusion itself (PyPI: guided-diffusion-sdk 1.0.0, MIT):
weights, inputs, outputs and gradients of a tiny network, and the parameter count of the study's.

    pip install torch==2.11.0 safetensors guided-diffusion-sdk==1.0.0 --no-deps
    python tools/golden/diffusion_unet.py
"""

import pathlib

import torch
from guided_diffusion.unet import UNetModel
from safetensors.torch import save_file


def network(resolution, planes, channels, multipliers, blocks, attention, heads):
    return UNetModel(
        image_size=resolution,
        in_channels=planes,
        model_channels=channels,
        out_channels=planes,
        num_res_blocks=blocks,
        # guided-diffusion counts attention by how often the image was halved.
        attention_resolutions=tuple(resolution // side for side in attention),
        channel_mult=multipliers,
        num_heads=heads,
        use_scale_shift_norm=True,
    )


def main():
    torch.manual_seed(20261122)
    torch.set_num_threads(1)
    # 32 groups are fixed in guided-diffusion, so 32 is the least number of channels.
    tiny = network(8, 3, 32, (1, 1), 1, (4,), 2)
    with torch.no_grad():
        # Away from the zeros that the last layers begin with.
        for parameter in tiny.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    x = torch.randn(3, 3, 8, 8, requires_grad=True)
    code = torch.tensor([0.0, 17.5, 999.0])
    output = tiny(x, code)
    cotangent = torch.randn_like(output)
    (output * cotangent).sum().backward()
    tensors = {"input": x, "code": code, "output": output, "cotangent": cotangent, "input_gradient": x.grad}
    tensors |= {f"weight.{k}": v for k, v in tiny.state_dict().items()}
    # All gradients would double the file; the sums of squares of all and the whole of a few say as much.
    tensors |= {f"gradient_norm.{k}": p.grad.double().norm() for k, p in tiny.named_parameters()}
    whole = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.1.qkv.weight", "out.2.bias")
    tensors |= {f"gradient.{k}": p.grad for k, p in tiny.named_parameters() if k in whole}
    path = pathlib.Path(__file__).resolve().parents[2] / "crates/nets/tests/golden/diffusion_unet.safetensors"
    metadata = {"torch": torch.__version__, "guided-diffusion-sdk": "1.0.0", "script": "tools/golden/diffusion_unet.py"}
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, path, metadata)
    print(path, sum(v.numel() for v in tensors.values()), "values")
    for size, blocks, multipliers in ((256, 3, (1, 1, 2, 2, 4, 4)), (64, 3, (1, 2, 3, 4))):
        study = network(size, 5, 64, multipliers, blocks, (16, 8), 4)
        print(size, multipliers, sum(p.numel() for p in study.parameters()), "parameters")


if __name__ == "__main__":
    main()
