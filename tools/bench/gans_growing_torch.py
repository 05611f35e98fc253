"""Progressive GAN and StyleGAN 1, fully grown, in plain PyTorch, as users run them: peers of `bench_gans`.

Written from Karras et al. 2018 (arXiv 1710.10196) and 2019 (arXiv 1812.04948) with the operations of the published
code where it does not fuse them: nearest up-sampling and convolution, convolution and mean of 2x2, bias and leaky ReLU
one after the other, torch.optim.Adam, generated and real images in two passes of the discriminator, and a batch of
generated images of its own for each network. Progressive GAN's penalty (WGAN-GP) has a pass of its own, StyleGAN 1's
(R1) is taken from the pass over the real images, both in every step as published. Images have 5 planes, and levels the
published feature maps, at most 128. What the published code computes beyond that, fading of levels, style mixing and
labels, is left out. Behind Progressive GAN's down-sampling convolutions, bias and activation follow the mean of 2x2, as
in the published code's fused path, its default.

    python tools/bench/gans_growing_torch.py [RUNS [THREADS [SIDE [BATCH]]]]

prints one JSON line a measurement, then all again under the allocator's settings in _peer.py.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from _peer import again_with_tuned_allocator, arguments, report, seconds

SQRT2 = math.sqrt(2)
PLANES, DIMS, MAPPING_LAYERS, CHANNEL_BASE, CHANNEL_MAX = 5, 512, 8, 16384, 128


def per_map(values):
    return values[..., None, None]


def pixel_norm(x):
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def blur(x):
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    c = x.shape[1]
    return F.conv2d(x, torch.outer(taps, taps)[None, None].repeat(c, 1, 1, 1), padding=1, groups=c)


def doubled(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Linear(nn.Module):
    def __init__(self, inputs, outputs, gain=1.0, lr=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.lr, self.gain = lr, gain * lr / math.sqrt(inputs)

    def forward(self, x):
        return x @ (self.weight * self.gain).t() + self.bias * self.lr


class Conv(nn.Module):
    def __init__(self, inputs, outputs, k, act=True, down=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, k, k))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.k, self.act, self.down = k, act, down
        self.gain = (SQRT2 if act else 1.0) / math.sqrt(inputs * k * k)

    def forward(self, x):
        x = F.conv2d(x, self.weight * self.gain, padding=self.k // 2)
        if self.down:
            x = F.avg_pool2d(x, 2)
        x = x + per_map(self.bias)
        return F.leaky_relu(x, 0.2) if self.act else x


class Dense(nn.Module):
    """z to 4x4 pixels, with a quarter of He's constant."""

    def __init__(self, inputs, maps):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(maps * 16, inputs))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.gain = SQRT2 / 4 / math.sqrt(inputs)

    def forward(self, z):
        x = (z @ (self.weight * self.gain).t()).reshape(len(z), -1, 4, 4)
        return F.leaky_relu(x + per_map(self.bias), 0.2)


class Levels(nn.Module):
    """Resolutions and feature maps of a network that has grown to `res`."""

    def __init__(self, res, base, largest):
        super().__init__()
        self.resolutions = [1 << log for log in range(2, res.bit_length())]
        self.maps = {r: max(1, min(base // r, largest)) for r in [2, *self.resolutions]}

    def add(self, r, **layers):
        setattr(self, f"b{r}", nn.ModuleDict(layers))


class ProGan(Levels):
    def __init__(self, res, planes, z_dim, base, largest):
        super().__init__(res, base, largest)
        self.z_dim = z_dim
        for r in self.resolutions:
            maps, to_image = self.maps[r], Conv(self.maps[r], planes, 1, act=False)
            if r == 4:
                self.add(r, dense=Dense(z_dim, maps), conv=Conv(maps, maps, 3), torgb=to_image)
            else:
                conv0 = Conv(self.maps[r // 2], maps, 3)
                self.add(r, conv0=conv0, conv1=Conv(maps, maps, 3), torgb=to_image)

    def forward(self, z):
        x = pixel_norm(self.b4["conv"](pixel_norm(self.b4["dense"](pixel_norm(z)))))
        for r in self.resolutions[1:]:
            block = getattr(self, f"b{r}")
            x = pixel_norm(block["conv0"](doubled(x)))
            x = pixel_norm(block["conv1"](x))
        return getattr(self, f"b{self.resolutions[-1]}")["torgb"](x)


class StyledLayer(nn.Module):
    """Convolution, noise, bias, leaky ReLU, instance norm, style."""

    def __init__(self, w_dim, inputs, maps, side, up):
        super().__init__()
        if inputs:
            self.weight = nn.Parameter(torch.randn(maps, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.noise_strength = nn.Parameter(torch.zeros(maps))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.affine = Linear(w_dim, 2 * maps)
        self.up, self.gain = up, SQRT2 / math.sqrt(max(inputs, 1) * 9)

    def forward(self, x, w, noise):
        if hasattr(self, "weight"):
            x = F.conv2d(doubled(x) if self.up else x, self.weight * self.gain, padding=1)
            if self.up:
                x = blur(x)
        random = noise == "random"
        noise = torch.randn(len(x), 1, *x.shape[2:]) if random else self.noise_const
        x = x + noise * per_map(self.noise_strength)
        x = F.leaky_relu(x + per_map(self.bias), 0.2)
        x = F.instance_norm(x, eps=1e-8)
        scale, offset = per_map(self.affine(w)).chunk(2, 1)
        return x * (scale + 1) + offset


class Synthesis(Levels):
    def __init__(self, res, planes, w_dim, base, largest):
        super().__init__(res, base, largest)
        for r in self.resolutions:
            maps, inputs = self.maps[r], 0 if r == 4 else self.maps[r // 2]
            conv0 = StyledLayer(w_dim, inputs, maps, r, True)
            conv1 = StyledLayer(w_dim, maps, maps, r, False)
            self.add(r, conv0=conv0, conv1=conv1, torgb=Conv(maps, planes, 1, act=False))
        self.b4.const = nn.Parameter(torch.ones(self.maps[4], 4, 4))

    def forward(self, w, noise):
        x = self.b4.const[None].repeat(len(w), 1, 1, 1)
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            x = block["conv1"](block["conv0"](x, w, noise), w, noise)
        return block["torgb"](x)


class StyleGan1(nn.Module):
    def __init__(self, res, planes, z_dim, w_dim, layers, base, largest):
        super().__init__()
        self.z_dim = z_dim
        dims = [z_dim] + [w_dim] * layers
        fc = {f"fc{i}": Linear(dims[i], w_dim, SQRT2, lr=0.01) for i in range(layers)}
        self.mapping = nn.ModuleDict(fc)
        self.mapping.register_buffer("w_avg", torch.zeros(w_dim))
        self.synthesis = Synthesis(res, planes, w_dim, base, largest)

    def forward(self, z, noise="random"):
        w = pixel_norm(z)
        for layer in self.mapping.values():
            w = F.leaky_relu(layer(w), 0.2)
        return self.synthesis(w, noise)


class Discriminator(Levels):
    def __init__(self, res, planes, base, largest, blurred, group=4):
        super().__init__(res, base, largest)
        self.blurred, self.group = blurred, group
        for r in self.resolutions:
            maps, smaller = self.maps[r], self.maps[r // 2]
            from_image = Conv(planes, maps, 1)
            if r == 4:
                fc, conv = Linear(maps * 16, smaller, SQRT2), Conv(maps + 1, maps, 3)
                self.add(r, fromrgb=from_image, conv=conv, fc=fc, out=Linear(smaller, 1))
            else:
                conv1 = Conv(maps, smaller, 3, down=True)
                self.add(r, fromrgb=from_image, conv0=Conv(maps, maps, 3), conv1=conv1)

    def forward(self, x):
        x = getattr(self, f"b{self.resolutions[-1]}")["fromrgb"](x)
        for r in reversed(self.resolutions[1:]):
            block = getattr(self, f"b{r}")
            x = block["conv0"](x)
            x = block["conv1"](blur(x) if self.blurred else x)
        n, c, h, w = x.shape
        g = min(self.group, n)
        y = x.reshape(g, -1, c, h, w)
        y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt()
        y = y.mean([1, 2, 3]).reshape(-1, 1, 1, 1).repeat(g, 1, h, w)
        x = self.b4["conv"](torch.cat([x, y], 1))
        return self.b4["out"](F.leaky_relu(self.b4["fc"](x.flatten(1)), 0.2))


def wgan_gp(d, real, fake):
    """Wasserstein loss with the penalty between real and generated images, and drift."""
    real_scores, fake_scores = d(real), d(fake)
    between = torch.lerp(real, fake, torch.rand(len(real), 1, 1, 1)).requires_grad_(True)
    (grad,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    penalty = (grad.square().sum([1, 2, 3]).sqrt() - 1).square().mean()
    drift = real_scores.square().mean()
    return (fake_scores - real_scores).mean() + 10 * penalty + 0.001 * drift


def logistic_r1(d, real, fake):
    """Non-saturating loss with R1 at the real images, gamma 10."""
    real = real.detach().requires_grad_(True)
    real_logits = d(real)
    (grad,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    penalty = grad.square().sum([1, 2, 3]).mean() * (10 / 2)
    return F.softplus(-real_logits).mean() + F.softplus(d(fake)).mean() + penalty


def bench(name, g, d, rate, d_loss, g_loss, runs, side, batch):
    ema = copy.deepcopy(g).requires_grad_(False)
    adams = [torch.optim.Adam(n.parameters(), lr=rate, betas=(0.0, 0.99), eps=1e-8) for n in (g, d)]
    real = torch.rand(batch, PLANES, side, side) * 2 - 1

    def iteration():
        with torch.no_grad():
            fake = g(torch.randn(batch, g.z_dim))
        adams[1].zero_grad(set_to_none=True)
        d_loss(d, real, fake).backward()
        adams[1].step()

        d.requires_grad_(False)
        adams[0].zero_grad(set_to_none=True)
        g_loss(d(g(torch.randn(batch, g.z_dim)))).backward()
        adams[0].step()
        d.requires_grad_(True)
        for e, p in zip(ema.parameters(), g.parameters()):
            e.copy_(p.detach().lerp(e, 0.999))

    @torch.no_grad()
    def sample():
        return ema(torch.randn(batch, g.z_dim))[0, 0, 0, 0].item()

    for work, function in (("iteration", iteration), ("sample", sample)):
        report(f"{name}-{side}-{work}", "pytorch f32", seconds(runs, function), version=torch.__version__)


def main():
    runs, side, batch = arguments(5, 64, 8)
    torch.manual_seed(0)
    maps = (CHANNEL_BASE, CHANNEL_MAX)
    g = ProGan(side, PLANES, DIMS, *maps)
    d = Discriminator(side, PLANES, *maps, blurred=False)
    bench("progan", g, d, 0.001, wgan_gp, lambda scores: -scores.mean(), runs, side, batch)
    g = StyleGan1(side, PLANES, DIMS, DIMS, MAPPING_LAYERS, *maps)
    d = Discriminator(side, PLANES, *maps, blurred=True)
    bench("stylegan1", g, d, 0.002, logistic_r1, lambda logits: F.softplus(-logits).mean(), runs, side, batch)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
