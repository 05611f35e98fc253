"""Golden values of the U-Net: crates/nets/tests/golden/unet.safetensors.

A plain PyTorch network written from the study's description, with the authors' parameter names, run in f64:
weights, inputs, weights of the outputs' sum (cotangents), outputs of all heads and gradients of that sum, for
both paddings. Run: python tools/golden/unet.py  (torch 2.11.0, safetensors 0.8.0, numpy 2)
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

DEPTH, BASE, INPUTS, CLASSES = 3, 4, 2, 3


def crop(x, size):
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


class Level(nn.Module):
    def __init__(self, inputs, outputs, padding):
        super().__init__()
        layers = []
        for i in (inputs, outputs):
            layers += [nn.Conv2d(i, outputs, 3, padding=padding), nn.LeakyReLU(0.01), nn.InstanceNorm2d(outputs, affine=True)]
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return self.block(x)


class Decoder(nn.Module):
    def __init__(self, filters, padding):
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(2 * filters, filters, 1))
        self.conv_block = Level(2 * filters, filters, padding)

    def forward(self, x, skip):
        x = self.up(x)
        return self.conv_block(torch.cat([x, crop(skip, x.shape[2:])], 1))


class UNet(nn.Module):
    def __init__(self, inputs, classes, base, depth, padding):
        super().__init__()
        filters = [base * 2**i for i in range(depth)]
        self.down_path = nn.ModuleList(Level(i, o, padding) for i, o in zip([inputs] + filters, filters))
        levels = list(reversed(range(depth - 1)))
        self.up_path = nn.ModuleList(Decoder(filters[i], padding) for i in levels)
        heads = []
        for i in levels:
            head = nn.Conv2d(filters[i], classes, 1, bias=False)
            heads.append(nn.Sequential(head, nn.Upsample(scale_factor=2**i, mode="bilinear")) if i else head)
        self.output_layers = nn.ModuleList(heads)

    def forward(self, x, side):
        skips, outputs = [], []
        for level in self.down_path:
            x = level(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for up, head in zip(self.up_path, self.output_layers):
            x = up(x, skips.pop())
            outputs.append(crop(head(x), (side, side)))
        return outputs[::-1]


def main():
    torch.manual_seed(1)
    tensors = {}
    for padding, input_side, side in (("same", 16, 16), ("valid", 48, 6)):
        network = UNet(INPUTS, CLASSES, BASE, DEPTH, padding).double()
        with torch.no_grad():
            for parameter in network.parameters():
                # Exact in f32, and gains and offsets away from their initial 1 and 0.
                parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)).float())
        x = torch.randn(2, INPUTS, input_side, input_side, dtype=torch.float64).float().double().requires_grad_()
        outputs = network(x, side)
        cotangents = [torch.randn_like(o).float().double() for o in outputs]
        sum((o * c).sum() for o, c in zip(outputs, cotangents)).backward()
        tensors[f"{padding}.input"] = x.detach()
        tensors[f"{padding}.input_gradient"] = x.grad
        for i, (o, c) in enumerate(zip(outputs, cotangents)):
            tensors[f"{padding}.output.{i}"] = o.detach()
            tensors[f"{padding}.cotangent.{i}"] = c
        for name, parameter in network.named_parameters():
            tensors[f"{padding}.weight.{name}"] = parameter.detach()
            tensors[f"{padding}.gradient.{name}"] = parameter.grad
    folder = pathlib.Path(__file__).resolve().parents[2] / "crates/nets/tests/golden"
    metadata = {"script": "tools/golden/unet.py", "torch": torch.__version__}
    path = folder / "unet.safetensors"
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
    reference = UNet(4, 4, 64, 6, "valid")
    print("parameters at the study's setting:", sum(p.numel() for p in reference.parameters()))
