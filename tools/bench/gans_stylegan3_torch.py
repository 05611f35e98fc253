"""StyleGAN 3-t and -r in plain PyTorch, as users run them where no CUDA kernels are: a peer of `bench_gans`.

Written from Karras et al. 2021 (arXiv 2106.12423) with the operations of the published code's reference path: styles
multiplied into the weights and the batch folded into the groups of one convolution; zero insertion, padding and
depthwise convolutions along one axis each, decimation; bias, leaky ReLU, gain and clamp one after the other; filters of
scipy. The discriminator is StyleGAN 2's, of gans_stylegan2_torch.py, and so are the mapping network and the form of the
training: torch.optim.Adam, generated and real images in two passes, R1 in every 16th step. Images have 5 planes and are
made by 14 layers; -r has 1x1 convolutions, twice the feature maps and radial filters. Against the reference path, the
last layer is spared its convolutions with filters of one tap.

    python tools/bench/gans_stylegan3_torch.py [RUNS [THREADS [SIDE [BATCH]]]]

prints one JSON line a measurement: phases by themselves, the mean iteration and sampling; then all again under the
allocator's settings in _peer.py.
"""

import copy
import math

import numpy as np
import scipy.signal
import scipy.special
import torch
import torch.nn.functional as F
from torch import nn

from _peer import again_with_tuned_allocator, arguments, report, seconds
from gans_stylegan2_torch import SQRT2, Discriminator, Linear, Mapping, channel_function

PLANES, DIMS, MAPPING_LAYERS, LAYERS, CHANNEL_MAX = 5, 512, 2, 14, 128
# Feature maps times side.
CHANNELS_AT_FULL_SIZE = 64
MARGIN, FILTER_SIZE, CLAMP, R1_INTERVAL = 10, 6, 256, 16
MAGNITUDE_DECAY = 0.999


def upfirdn(x, f, up=1, down=1, pad=(0, 0), gain=1.0):
    """Zero insertion, padding (before, after; cropping where negative), the taps along both axes, decimation."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h, 1, w, 1)
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1]).reshape(n, c, h * up, w * up)
    x = F.pad(x, [pad[0], pad[1], pad[0], pad[1]])
    f = (f * gain ** (f.ndim / 2)).to(x.dtype).flip(list(range(f.ndim)))[None, None].repeat(c, *[1] * (f.ndim + 1))
    if f.ndim == 4:
        x = F.conv2d(x, f, groups=c)
    else:
        x = F.conv2d(x, f.unsqueeze(2), groups=c)
        x = F.conv2d(x, f.unsqueeze(3), groups=c)
    return x[:, :, ::down, ::down]


def modulated(x, weight, style, input_gain, demodulate):
    n, c, h, w = x.shape
    outputs, _, k, _ = weight.shape
    if demodulate:
        weight = weight * weight.square().mean([1, 2, 3], keepdim=True).rsqrt()
        style = style * style.square().mean().rsqrt()
    weight = weight[None] * style[:, None, :, None, None]
    if demodulate:
        scale = (weight.square().sum([2, 3, 4]) + 1e-8).rsqrt()
        weight = weight * scale[:, :, None, None, None]
    weight = (weight * input_gain).reshape(n * outputs, c, k, k)
    x = F.conv2d(x.reshape(1, n * c, h, w), weight, padding=k - 1, groups=n)
    return x.reshape(n, outputs, *x.shape[2:])


def schedule(res, planes, layers, base, largest, critical=2):
    """Cut-off, half width, rate, size and feature maps by layer (section 3.2, appendix F.1)."""
    progress = np.minimum(np.arange(layers + 1) / (layers - critical), 1)
    last_cutoff = res / 2
    first_stopband, last_stopband = 2**2.1, last_cutoff * 2**0.3
    cutoffs = 2 * (last_cutoff / 2) ** progress
    stopbands = first_stopband * (last_stopband / first_stopband) ** progress
    rates = np.exp2(np.ceil(np.log2(np.minimum(2 * stopbands, res))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * MARGIN
    sizes[-2:] = res
    maps = np.rint(np.minimum(base / 2 / cutoffs, largest))
    maps[-1] = planes
    integer = lambda values: [int(value) for value in values]
    return list(zip(cutoffs, half_widths, integer(rates), integer(sizes), integer(maps)))


class Input(nn.Module):
    """Fourier features."""

    def __init__(self, w_dim, band):
        super().__init__()
        self.cutoff, _, self.rate, self.size, maps = band
        freqs = torch.randn(maps, 2)
        radii = freqs.square().sum(1, keepdim=True).sqrt()
        freqs = freqs / (radii * radii.square().exp().pow(0.25)) * self.cutoff
        self.weight = nn.Parameter(torch.randn(maps, maps))
        self.affine = Linear(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias[0] = 1
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(maps) - 0.5)

    def forward(self, w):
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        turn = torch.eye(3, dtype=w.dtype).repeat(len(w), 1, 1)
        turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = t[:, 0], -t[:, 1], t[:, 1], t[:, 0]
        shift = torch.eye(3, dtype=w.dtype).repeat(len(w), 1, 1)
        shift[:, 0, 2], shift[:, 1, 2] = -t[:, 2], -t[:, 3]
        transform = turn @ shift @ self.transform
        phases = self.phases + (self.freqs @ transform[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ transform[:, :2, :2]
        highest = self.rate / 2
        fade = (1 - (freqs.norm(dim=2) - self.cutoff) / (highest - self.cutoff)).clamp(0, 1)

        reach = 0.5 * self.size / self.rate
        theta = torch.tensor([[[reach, 0, 0], [0, reach, 0]]], dtype=w.dtype)
        grid = F.affine_grid(theta, [1, 1, self.size, self.size], align_corners=False)
        x = (grid.unsqueeze(3) @ freqs.permute(0, 2, 1)[:, None, None]).squeeze(3)
        x = torch.sin((x + phases[:, None, None]) * (2 * math.pi)) * fade[:, None, None]
        x = x @ (self.weight / math.sqrt(len(self.weight))).t()
        return x.permute(0, 3, 1, 2)


def radial(taps, cutoff, width, fs):
    """The low-pass that is the same in all directions (appendix C): a jinc under a Kaiser window."""
    x = (np.arange(taps) - (taps - 1) / 2) / fs
    r = np.hypot(*np.meshgrid(x, x))
    f = scipy.special.j1(2 * cutoff * (np.pi * r)) / (np.pi * r)
    window = np.kaiser(taps, scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, width / (fs / 2))))
    f *= np.outer(window, window)
    return f / f.sum()


class Layer(nn.Module):
    def __init__(self, w_dim, source, target, to_image, rotates):
        super().__init__()
        in_cutoff, in_width, in_rate, in_size, inputs = source
        out_cutoff, out_width, out_rate, out_size, outputs = target
        k = 1 if to_image or rotates else 3
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, k, k))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.to_image = to_image
        if to_image:
            return
        rate = 2 * max(in_rate, out_rate)
        self.up, self.down = rate // in_rate, rate // out_rate
        up_taps, down_taps = FILTER_SIZE * self.up, FILTER_SIZE * self.down
        design = lambda taps, cutoff, width: scipy.signal.firwin(taps, cutoff, width=width, fs=rate)
        # Critically sampled layers keep separable filters.
        turns = rotates and out_cutoff * 2 != out_rate
        down = radial(down_taps, out_cutoff, 2 * out_width, rate) if turns else design(down_taps, out_cutoff, 2 * out_width)
        up = design(up_taps, in_cutoff, 2 * in_width)
        self.register_buffer("up_filter", torch.from_numpy(up).float(), False)
        self.register_buffer("down_filter", torch.from_numpy(down).float(), False)
        pad = (out_size - 1) * self.down + 1 - (in_size + k - 1) * self.up + up_taps + down_taps - 2
        before = (pad + self.up) // 2
        self.pad = (before, pad - before)

    def forward(self, x, w, track):
        if track:
            square = x.detach().square().mean()
            self.magnitude_ema.copy_(square.lerp(self.magnitude_ema, MAGNITUDE_DECAY))
        style = self.affine(w)
        if self.to_image:
            style = style / math.sqrt(self.weight.shape[1])
        x = modulated(x, self.weight, style, self.magnitude_ema.rsqrt(), not self.to_image)
        x = x + self.bias[:, None, None]
        if self.to_image:
            return x.clamp(-CLAMP, CLAMP)
        x = upfirdn(x, self.up_filter, up=self.up, pad=self.pad, gain=self.up**2)
        x = (F.leaky_relu(x, 0.2) * SQRT2).clamp(-CLAMP, CLAMP)
        return upfirdn(x, self.down_filter, down=self.down)


class Synthesis(nn.Module):
    def __init__(self, w_dim, bands, rotates):
        super().__init__()
        self.input = Input(w_dim, bands[0])
        self.names = [f"L{i}_{band[3]}_{band[4]}" for i, band in enumerate(bands)]
        for i, name in enumerate(self.names):
            setattr(self, name, Layer(w_dim, bands[max(i - 1, 0)], bands[i], i == len(bands) - 1, rotates))

    def forward(self, ws, track):
        x = self.input(ws[:, 0])
        for i, name in enumerate(self.names):
            x = getattr(self, name)(x, ws[:, i + 1], track)
        return x * 0.25


class Generator(nn.Module):
    def __init__(self, res, planes, z_dim, w_dim, mapping_layers, layers, base, largest, rotates):
        super().__init__()
        base, largest = (2 * base, 2 * largest) if rotates else (base, largest)
        self.mapping = Mapping(z_dim, w_dim, mapping_layers)
        self.synthesis = Synthesis(w_dim, schedule(res, planes, layers, base, largest), rotates)
        self.num_ws = layers + 2

    def forward(self, z, track=False):
        w = self.mapping(z)
        if track:
            self.mapping.w_avg.copy_(w.detach().mean(0).lerp(self.mapping.w_avg, 0.998))
        return self.synthesis(w[:, None].repeat(1, self.num_ws, 1), track)


def times(rotates, runs, side, batch):
    """Times of the phases and of sampling, in seconds."""
    base = CHANNELS_AT_FULL_SIZE * side
    g = Generator(side, PLANES, DIMS, DIMS, MAPPING_LAYERS, LAYERS, base, CHANNEL_MAX, rotates)
    d = Discriminator(side, PLANES, channel_function(base, CHANNEL_MAX))
    ema = copy.deepcopy(g).requires_grad_(False)
    g_opt = torch.optim.Adam(g.parameters(), lr=0.0025, betas=(0.0, 0.99), eps=1e-8)
    d_opt = torch.optim.Adam(d.parameters(), lr=0.002, betas=(0.0, 0.99), eps=1e-8)
    real = torch.rand(batch, PLANES, side, side) * 2 - 1

    def g_main():
        d.requires_grad_(False)
        g_opt.zero_grad(set_to_none=True)
        F.softplus(-d(g(torch.randn(batch, DIMS)))).mean().backward()
        g_opt.step()
        d.requires_grad_(True)
        for e, p in zip(ema.parameters(), g.parameters()):
            e.copy_(p.detach().lerp(e, 0.999))
        for e, p in zip(ema.buffers(), g.buffers()):
            e.copy_(p)

    def d_main():
        d_opt.zero_grad(set_to_none=True)
        g.requires_grad_(False)
        F.softplus(d(g(torch.randn(batch, DIMS), track=True))).mean().backward()
        F.softplus(-d(real)).mean().backward()
        g.requires_grad_(True)
        d_opt.step()

    def d_r1():
        d_opt.zero_grad(set_to_none=True)
        x = real.detach().requires_grad_(True)
        logits = d(x)
        (grad,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        (grad.square().sum([1, 2, 3]).mean() * (10 / 2) * R1_INTERVAL + logits.sum() * 0).backward()
        d_opt.step()

    @torch.no_grad()
    def sample():
        return ema(torch.randn(batch, DIMS))[0, 0, 0, 0].item()

    works = {"phase-g-main": g_main, "phase-d-main": d_main, "phase-d-r1": d_r1, "sample": sample}
    return {name: seconds(runs, work) for name, work in works.items()}


def main():
    runs, side, batch = arguments(5, 64, 8)
    torch.manual_seed(0)
    for variant in ("t", "r"):
        measured = times(variant == "r", runs, side, batch)
        phases = [measured[f"phase-{name}"] for name in ("g-main", "d-main", "d-r1")]
        measured["iteration"] = [g + d + r / R1_INTERVAL for g, d, r in zip(*phases)]
        for name, found in measured.items():
            report(f"stylegan3-{variant}-{side}-{name}", "pytorch f32", found, version=torch.__version__)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
