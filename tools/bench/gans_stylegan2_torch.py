"""StyleGAN 2 in plain PyTorch, as users run it: the peer of `bench_gans` and the judge of our networks.

Written from Karras et al. 2020 (arXiv 1912.04958) with the operations of the published code's reference path
(no custom CUDA kernels): zero insertion + padding + depthwise convolution for resampling, scale - convolve -
scale for modulation, bias + leaky ReLU + gain as separate operations, torch.optim.Adam, generated and real
images in two passes of the discriminator.

    python tools/bench/gans_stylegan2_torch.py [RUNS [THREADS [SIDE [BATCH]]]]

prints one JSON line a measurement: phases by themselves, both main phases, the mean iteration, sampling, and the mean
iteration with the loss of R3GAN (Huang et al. 2024: relativistic, R1 and R2, here every fourth step); then all again under the allocator's settings in _peer.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from _peer import again_with_tuned_allocator, arguments, report, seconds

SQRT2 = math.sqrt(2)
R3GAN_INTERVAL = 4
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])


def resample(x, up=1, down=1, pad=(0, 0), gain=1.0):
    """Zero insertion, padding (before, after), filter, decimation; [n, c, h, w]."""
    n, c, h, w = x.shape
    if up > 1:
        x = x.reshape(n, c, h, 1, w, 1)
        x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1]).reshape(n, c, h * up, w * up)
    x = F.pad(x, [pad[0], pad[1], pad[0], pad[1]])
    f = torch.outer(TAPS, TAPS).to(x) / 64 * gain
    x = F.conv2d(x, f[None, None].repeat(c, 1, 1, 1), groups=c)
    return x[:, :, ::down, ::down]


class Linear(nn.Module):
    def __init__(self, inputs, outputs, act="linear", lr=1.0, bias=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full([outputs], bias / lr))
        self.act, self.lr, self.gain = act, lr, lr / math.sqrt(inputs)

    def forward(self, x):
        x = x @ (self.weight * self.gain).t() + self.bias * self.lr
        return F.leaky_relu(x, 0.2) * SQRT2 if self.act == "lrelu" else x


class Conv(nn.Module):
    def __init__(self, inputs, outputs, k, act="lrelu", down=1, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, k, k))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.k, self.act, self.down, self.gain = k, act, down, 1 / math.sqrt(inputs * k * k)

    def forward(self, x, gain=1.0):
        w = self.weight * self.gain
        if self.down == 2 and self.k == 1:
            x = F.conv2d(resample(x, down=2, pad=(1, 1)), w)
        elif self.down == 2:
            x = F.conv2d(resample(x, pad=(2, 2)), w, stride=2)
        else:
            x = F.conv2d(x, w, padding=self.k // 2)
        if self.bias is not None:
            x = x + self.bias[None, :, None, None]
        return F.leaky_relu(x, 0.2) * (SQRT2 * gain) if self.act == "lrelu" else x * gain


class Mapping(nn.Module):
    def __init__(self, z_dim, w_dim, layers):
        super().__init__()
        self.layers = layers
        for i in range(layers):
            setattr(self, f"fc{i}", Linear(z_dim if i == 0 else w_dim, w_dim, "lrelu", lr=0.01))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z):
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x


def modulated(x, weight, style, up=1, demodulate=True):
    if demodulate:
        w = weight[None] * style[:, None, :, None, None]
        d = (w.square().sum([2, 3, 4]) + 1e-8).rsqrt()
    x = x * style[:, :, None, None]
    if up == 2:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = resample(x, pad=(1, 1), gain=4)
    else:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return x * d[:, :, None, None] if demodulate else x


class StyledConv(nn.Module):
    def __init__(self, w_dim, inputs, outputs, res, up):
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.register_buffer("noise_const", torch.randn(res, res))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up, self.res = up, res

    def forward(self, x, w, noise):
        x = modulated(x, self.weight, self.affine(w), self.up)
        if noise == "random":
            x = x + torch.randn(x.shape[0], 1, self.res, self.res) * self.noise_strength
        else:
            x = x + self.noise_const * self.noise_strength
        return F.leaky_relu(x + self.bias[None, :, None, None], 0.2) * SQRT2


class ToImage(nn.Module):
    def __init__(self, w_dim, inputs, planes):
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(planes, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(planes))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x, w):
        x = modulated(x, self.weight, self.affine(w) * self.gain, demodulate=False)
        return x + self.bias[None, :, None, None]


class SynthesisBlock(nn.Module):
    def __init__(self, w_dim, inputs, outputs, res, planes):
        super().__init__()
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            self.conv0 = StyledConv(w_dim, inputs, outputs, res, 2)
        self.conv1 = StyledConv(w_dim, outputs, outputs, res, 1)
        self.torgb = ToImage(w_dim, outputs, planes)


class Synthesis(nn.Module):
    def __init__(self, res, planes, w_dim, channels):
        super().__init__()
        self.resolutions = [2**i for i in range(2, int(math.log2(res)) + 1)]
        for r in self.resolutions:
            inputs = 0 if r == 4 else channels(r // 2)
            setattr(self, f"b{r}", SynthesisBlock(w_dim, inputs, channels(r), r, planes))

    def forward(self, ws, noise="const"):
        x, image, i = None, None, 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            if r == 4:
                x = block.const[None].repeat(ws.shape[0], 1, 1, 1)
            else:
                x = block.conv0(x, ws[:, i], noise)
                i += 1
            x = block.conv1(x, ws[:, i], noise)
            i += 1
            y = block.torgb(x, ws[:, i])
            image = y if image is None else resample(image, up=2, pad=(2, 1), gain=4) + y
        return image


class Generator(nn.Module):
    def __init__(self, res, planes, z_dim, w_dim, layers, channels):
        super().__init__()
        self.synthesis = Synthesis(res, planes, w_dim, channels)
        self.mapping = Mapping(z_dim, w_dim, layers)
        self.num_ws = 2 * len(self.synthesis.resolutions)

    def forward(self, z, noise="const"):
        return self.synthesis(self.mapping(z)[:, None].repeat(1, self.num_ws, 1), noise)


class DiscriminatorBlock(nn.Module):
    def __init__(self, inputs, outputs, planes):
        super().__init__()
        if planes:
            self.fromrgb = Conv(planes, inputs, 1)
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, down=2)
        self.skip = Conv(inputs, outputs, 1, act="linear", down=2, bias=False)

    def forward(self, x):
        y = self.skip(x, gain=math.sqrt(0.5))
        return y + self.conv1(self.conv0(x), gain=math.sqrt(0.5))


class Epilogue(nn.Module):
    def __init__(self, channels, group):
        super().__init__()
        self.conv = Conv(channels + 1, channels, 3)
        self.fc = Linear(channels * 16, channels, "lrelu")
        self.out = Linear(channels, 1)
        self.group = group

    def forward(self, x):
        n, c, h, w = x.shape
        g = min(self.group, n)
        y = x.reshape(g, -1, 1, c, h, w)
        y = (y - y.mean(0)).square().mean(0)
        y = (y + 1e-8).sqrt().mean([2, 3, 4]).reshape(-1, 1, 1, 1).repeat(g, 1, h, w)
        x = self.conv(torch.cat([x, y], 1))
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    def __init__(self, res, planes, channels, group=4):
        super().__init__()
        self.resolutions = [2**i for i in range(int(math.log2(res)), 2, -1)]
        for r in self.resolutions:
            block = DiscriminatorBlock(channels(r), channels(r // 2), planes if r == res else 0)
            setattr(self, f"b{r}", block)
        self.b4 = Epilogue(channels(4), group)

    def forward(self, x):
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            if hasattr(block, "fromrgb"):
                x = block.fromrgb(x)
            x = block(x)
        return self.b4(x)


def channel_function(base, largest):
    return lambda r: min(base // r, largest)


def step_times(res, batch, base, largest, planes, dims, mapping_layers, runs):
    """Times of the phases and of sampling, in seconds."""
    channels = channel_function(base, largest)
    g = Generator(res, planes, dims, dims, mapping_layers, channels)
    d = Discriminator(res, planes, channels)
    ema = Generator(res, planes, dims, dims, mapping_layers, channels).requires_grad_(False)
    g_opt = torch.optim.Adam(g.parameters(), lr=0.002, betas=(0.0, 0.99), eps=1e-8)
    d_opt = torch.optim.Adam(d.parameters(), lr=0.002, betas=(0.0, 0.99), eps=1e-8)
    real = torch.rand(batch, planes, res, res) * 2 - 1
    pl_mean = torch.zeros([])

    def g_main():
        d.requires_grad_(False)
        g_opt.zero_grad(set_to_none=True)
        F.softplus(-d(g(torch.randn(batch, dims), "random"))).mean().backward()
        g_opt.step()
        d.requires_grad_(True)
        for e, p in zip(ema.parameters(), g.parameters()):
            e.copy_(p.detach().lerp(e, 0.999))

    def g_path():
        g_opt.zero_grad(set_to_none=True)
        n = batch // 2
        ws = g.mapping(torch.randn(n, dims))[:, None].repeat(1, g.num_ws, 1)
        image = g.synthesis(ws, "random")
        noise = torch.randn_like(image) / res
        (grad,) = torch.autograd.grad((image * noise).sum(), ws, create_graph=True)
        lengths = grad.square().sum(2).mean(1).sqrt()
        mean = pl_mean.lerp(lengths.mean(), 0.01)
        pl_mean.copy_(mean.detach())
        ((lengths - mean).square().mean() * 2 * 4 + image[:, 0, 0, 0].mean() * 0).backward()
        g_opt.step()

    def d_main():
        d_opt.zero_grad(set_to_none=True)
        g.requires_grad_(False)
        F.softplus(d(g(torch.randn(batch, dims), "random"))).mean().backward()
        F.softplus(-d(real)).mean().backward()
        g.requires_grad_(True)
        d_opt.step()

    def d_r1():
        d_opt.zero_grad(set_to_none=True)
        x = real.detach().requires_grad_(True)
        logits = d(x)
        (grad,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        (grad.square().sum([1, 2, 3]).mean() * (8 / 2) * 16 + logits.sum() * 0).backward()
        d_opt.step()

    @torch.no_grad()
    def sample():
        return ema(torch.randn(batch, dims))[0, 0, 0, 0].item()

    def relativistic_g():
        d.requires_grad_(False)
        g_opt.zero_grad(set_to_none=True)
        F.softplus(d(real) - d(g(torch.randn(batch, dims), "random"))).mean().backward()
        g_opt.step()
        d.requires_grad_(True)
        for e, p in zip(ema.parameters(), g.parameters()):
            e.copy_(p.detach().lerp(e, 0.999))

    def relativistic_d(penalties):
        d_opt.zero_grad(set_to_none=True)
        with torch.no_grad():
            fake = g(torch.randn(batch, dims), "random")
        pair = [x.detach().requires_grad_(penalties) for x in (real, fake)]
        logits = [d(x) for x in pair]
        loss = F.softplus(logits[1] - logits[0]).mean()
        if penalties:
            for x, score in zip(pair, logits):
                (grad,) = torch.autograd.grad(score.sum(), x, create_graph=True)
                loss = loss + grad.square().sum([1, 2, 3]).mean() * (0.05 / 2) * R3GAN_INTERVAL
        loss.backward()
        d_opt.step()

    phases = {"g-main": g_main, "g-path": g_path, "d-main": d_main, "d-r1": d_r1, "sample": sample}
    phases |= {
        "r3gan-g": relativistic_g,
        "r3gan-d": lambda: relativistic_d(False),
        "r3gan-d-penalties": lambda: relativistic_d(True),
    }
    return {name: seconds(runs, phase) for name, phase in phases.items()}


def main():
    runs, side, batch = arguments(5, 64, 8)
    torch.manual_seed(0)
    times = step_times(side, batch, 64 * side, 128, 5, 512, 8, runs)
    more = {"version": torch.__version__}
    for phase in ("g-main", "g-path", "d-main", "d-r1"):
        report(f"stylegan2-{side}-phase-{phase}", "pytorch f32", times[phase], **more)
    report(f"stylegan2-{side}-sample", "pytorch f32", times["sample"], **more)
    report(f"stylegan2-{side}-main", "pytorch f32", [g + d for g, d in zip(times["g-main"], times["d-main"])], **more)
    # One iteration with lazy regularisation: both main phases, the path length every 4, R1 every 16 steps.
    combined = [
        g + d + p / 4 + r / 16
        for g, d, p, r in zip(times["g-main"], times["d-main"], times["g-path"], times["d-r1"])
    ]
    report(f"stylegan2-{side}-iteration", "pytorch f32", combined, **more)
    lazily = zip(times["r3gan-g"], times["r3gan-d"], times["r3gan-d-penalties"])
    r3gan = [g + d + (both - d) / R3GAN_INTERVAL for g, d, both in lazily]
    report(f"r3gan-{side}-iteration", "pytorch f32", r3gan, **more)
    again_with_tuned_allocator()


if __name__ == "__main__":
    main()
