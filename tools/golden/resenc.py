"""Golden values of the residual-encoder U-Net: crates/nets/tests/golden/resenc.safetensors.

From PyPI's dynamic-network-architectures, nnU-Net's own, a tiny network in f64: weights, input, outputs of all heads
enlarged to the full resolution, gradients of a 64th of the sum of their squares, and the parameter counts of published sizes.

    pip install torch==2.11.0 safetensors==0.8.0 numpy && pip install --no-deps dynamic-network-architectures==0.4.4
    python tools/golden/resenc.py
"""

import importlib.metadata
import pathlib

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from safetensors.torch import save_file
from torch import nn


def network(inputs, classes, features, blocks):
    return ResidualEncoderUNet(
        input_channels=inputs,
        n_stages=len(features),
        features_per_stage=features,
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1] + [2] * (len(features) - 1),
        n_blocks_per_stage=blocks,
        num_classes=classes,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )


def published(inputs, classes, stages):
    return network(inputs, classes, [min(32 << s, 512) for s in range(stages)], [1, 3, 4, *[6] * stages][:stages])


def enlarged(outputs, side):
    return [nn.functional.interpolate(y, size=(side, side), mode="bilinear", align_corners=False) for y in outputs]


def main():
    torch.manual_seed(20261123)
    torch.set_num_threads(1)
    # The last stage halves without more filters, so its shortcut has no projection.
    net = network(2, 3, [4, 8, 12, 12], [1, 2, 2, 1]).double()
    with torch.no_grad():
        for parameter in net.parameters():
            # Exact in f32, and gains and offsets away from their initial 1 and 0.
            parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)).float())
    x = torch.randn(2, 2, 32, 32, dtype=torch.float64).float().double().requires_grad_()
    outputs = enlarged(net(x), 32)
    # Gradients of about one: those of biases before a normalisation are zero, up to rounding of what the others are.
    sum(y.square().sum() / 64 for y in outputs).backward()
    tensors = {"input": x, "input_gradient": x.grad}
    tensors |= {f"output.{i}": y for i, y in enumerate(outputs)}
    # Convolutions and normalisations are there under two names, and the encoder is part of the decoder as well.
    for name, parameter in net.named_parameters():
        tensors |= {f"weight.{name}": parameter, f"gradient.{name}": parameter.grad}
    path = pathlib.Path(__file__).resolve().parents[2] / "crates/nets/tests/golden/resenc.safetensors"
    metadata = {
        "script": "tools/golden/resenc.py",
        "torch": torch.__version__,
        "dynamic-network-architectures": importlib.metadata.version("dynamic-network-architectures"),
    }
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)
    print(path, sum(v.numel() for v in tensors.values()), "values")
    for stages in (6, 7):
        count = sum(p.numel() for p in published(4, 4, stages).parameters())
        print(stages, "stages, 4 channels, 4 classes:", count, "parameters")


if __name__ == "__main__":
    main()
