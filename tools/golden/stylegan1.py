"""Golden values for the StyleGAN 1 networks: weights, inputs, outputs and gradients of a tiny configuration from mmagic
(PyPI: mmagic 1.2.0, Apache 2.0), at several levels of detail. `_mmagic.py` says what to install.

    python tools/golden/stylegan1.py crates/nets/tests/golden/stylegan1.safetensors

mmagic's networks are near to, but not what NVIDIA published in 2019 (and what our networks are). Its forward passes and
layers are used; what differs is changed before use:

- Both: maps are a fixed table with at least 512 at 4x4 to 32x32, and w is as long as z; layers of other sizes are put
  in. Pixel normalisation divides by `rms + 1e-6`; published: `rsqrt(mean square + 1e-8)`. Function replaced.
- Generator, gains: the mapping has 1 (published: square root of 2), styles and image layers have the square root of 2
  (published: 1). Gains set.
- Generator, up-sampling layers: leaky ReLU also in front of the filter. `fused=False` chosen, which has none there.
- Generator, end of a layer: one noise strength for all maps (published: one each), no bias behind the constant, and the
  bias of an up-sampling layer in front of the filter, whose zero padding dims it at the borders (published: noise, then
  bias, behind the filter). The noise layers are replaced, the convolutions' biases removed.
- Generator, AdaIN: 1e-5 is added to the variance (published: 1e-8). Set. The saved scales are without the 1 that mmagic
  keeps in the bias.
- Discriminator, image layers: 3x3, and without padding at 4x4 (published: 1x1). Replaced.
- Discriminator: no activation behind the first fully connected layer, a 4x4 convolution. Leaky ReLU added.

Equal as they are: the filters and their places, nearest up-sampling, the fused down-sampling, leaky ReLU before AdaIN,
deviation, fading, mixing, truncation (of all layers: the published default is the first 8 only).
"""

import sys

import torch
from torch import nn

import _mmagic
from _mmagic import complete, entry, layer

RES, PLANES, Z, W, LAYERS = 16, 3, 6, 8, 2
# Maps at resolution r are min(BASE / r, LARGEST): 5, 10, 20, and 24 in the discriminator's hidden layer.
BASE, LARGEST = 80, 24
LODS = (0.0, 0.4, 1.0, 1.3)
LR = 0.01

_mmagic.load("pggan", "pggan_modules")
generator, discriminator, modules = _mmagic.load(
    "stylegan1", "stylegan1_generator", "stylegan1_discriminator", "stylegan1_modules"
)
Conv, Down = modules.EqualizedLRConvModule, discriminator.EqualizedLRConvDownModule
ACT = {"type": "LeakyReLU", "negative_slope": 0.2}


class NoiseAndBias(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.strength, self.bias = (nn.Parameter(torch.zeros(maps, 1, 1)) for _ in range(2))

    def forward(self, x, noise, return_noise=False):
        return x + noise * self.strength + self.bias


def styled_convolutions(inputs, maps, w, initial):
    block = modules.StyleConv(inputs, maps, 3, w, initial=initial, upsample=True, fused=False)
    for conv in (None if initial else block.conv1[1], block.conv2):
        if conv is not None:
            conv.conv.bias = None
    block.noise_injector1, block.noise_injector2 = NoiseAndBias(maps), NoiseAndBias(maps)
    for adain in (block.adain1, block.adain2):
        _mmagic.set_gain(adain.affine, 1)
        adain.norm.eps = 1e-8
    return block


def networks(res, planes, z, w, layers, base, largest):
    resolutions = [1 << log for log in range(2, res.bit_length())]
    maps = {r: min(base // r, largest) for r in [2] + resolutions}
    # The smallest of mmagic's own sizes: only its forward pass and buffers are kept.
    g = generator.StyleGAN1Generator(4, w, 1)
    d = discriminator.StyleGAN1Discriminator(4)
    g.out_size, g.log_size = res, res.bit_length() - 1
    g.num_latents = g.num_injected_noises = 2 * len(resolutions)
    for i in range(g.num_latents):
        side = resolutions[i // 2]
        g.register_buffer(f"injected_noise_{i}", torch.randn(1, 1, side, side))

    mapping = [
        modules.EqualLinearActModule(w if i else z, w, equalized_lr_cfg={"lr_mul": LR, "gain": 2**0.5}, act_cfg=ACT)
        for i in range(layers)
    ]
    g.style_mapping = nn.Sequential(generator.PixelNorm(), *mapping)
    g.convs = nn.ModuleList(styled_convolutions(maps[max(r // 2, 4)], maps[r], w, r == 4) for r in resolutions)
    g.to_rgbs = nn.ModuleList(
        Conv(maps[r], planes, 1, act_cfg=None, equalized_lr_cfg={"gain": 1}) for r in resolutions
    )

    d.log_size, d.n_layer = g.log_size, len(resolutions)
    d.from_rgb = nn.ModuleList(Conv(planes, maps[r], 1, act_cfg=ACT) for r in reversed(resolutions))
    d.convs = nn.ModuleList(
        nn.Sequential(
            Conv(maps[r], maps[r], 3, padding=1, act_cfg=ACT),
            modules.Blur([1, 2, 1], pad=(1, 1)),
            Down(maps[r], maps[r // 2], 3, stride=2, padding=1, act_cfg=None),
            nn.LeakyReLU(0.2),
        )
        for r in reversed(resolutions[1:])
    )
    d.convs.append(
        nn.Sequential(
            Conv(maps[4] + 1, maps[4], 3, padding=1, act_cfg=ACT), Conv(maps[4], maps[2], 4, act_cfg=ACT)
        )
    )
    d.final_linear = nn.Sequential(modules.EqualLinearActModule(maps[2], 1))
    return g, d


def our_names(g, d):
    resolutions = [4 << i for i in range(len(g.convs))]
    ours, theirs = {}, {}
    for i, linear in enumerate(g.style_mapping[1:]):
        ours |= layer(f"mapping.fc{i}", linear.linear) | {f"mapping.fc{i}.bias": entry(linear.bias)}
    for r, block, to_image in zip(resolutions, g.convs, g.to_rgbs):
        name = f"synthesis.b{r}"
        if r == 4:
            ours[f"{name}.const"] = entry(block.conv1.input, block.conv1.input.shape[1:])
        else:
            ours |= layer(f"{name}.conv0", block.conv1[1])
        ours |= layer(f"{name}.conv1", block.conv2) | layer(f"{name}.torgb", to_image)
        for j, noise, adain in ((0, block.noise_injector1, block.adain1), (1, block.noise_injector2, block.adain2)):
            one = torch.cat([torch.ones(noise.bias.numel()), torch.zeros(noise.bias.numel())])
            ours |= layer(f"{name}.conv{j}.affine", adain.affine)
            ours |= {
                f"{name}.conv{j}.noise_strength": entry(noise.strength, [-1]),
                f"{name}.conv{j}.bias": entry(noise.bias, [-1]),
                f"{name}.conv{j}.affine.bias": entry(adain.affine.bias, offset=one),
            }
    for r, from_image, block in zip(reversed(resolutions), d.from_rgb, d.convs):
        theirs |= layer(f"b{r}.fromrgb", from_image)
        if r == 4:
            hidden = block[1].conv.weight_orig
            theirs |= layer("b4.conv", block[0]) | layer("b4.fc", block[1], [hidden.shape[0], -1])
        else:
            theirs |= layer(f"b{r}.conv0", block[0]) | layer(f"b{r}.conv1", block[2])
    theirs |= layer("b4.out", d.final_linear[0].linear) | {"b4.out.bias": entry(d.final_linear[0].bias)}
    return {"g": complete(ours, g), "d": complete(theirs, d)}


def main(path):
    torch.manual_seed(20260302)
    torch.set_num_threads(1)
    g, d = networks(RES, PLANES, Z, W, LAYERS, BASE, LARGEST)
    for network in (g, d):
        _mmagic.disturb(network, lambda name: 0.1 / LR if name.startswith("style_mapping") else 0.1)
        # The reference is exact to f32's last digits: computed in f64 from values that f32 holds.
        network.double()
    z, z2, w_avg = torch.randn(8, Z), torch.randn(8, Z), torch.randn(W)
    w, w2 = g.style_mapping(z.double()), g.style_mapping(z2.double())
    settings = {"input_is_latent": True, "randomize_noise": False}
    tensors = {"z": z, "z2": z2, "w": w, "g.mapping.w_avg": w_avg}
    # The level of detail that a network stores: fully grown.
    tensors |= {"g.synthesis.lod": torch.zeros([]), "d.lod": torch.zeros([])}
    for i in range(g.num_latents):
        noise = getattr(g, f"injected_noise_{i}")
        tensors[f"g.synthesis.b{noise.shape[-1]}.conv{i % 2}.noise_const"] = noise[0, 0]
    truncated = g(w, truncation=0.7, truncation_latent=w_avg.double()[None], **settings)
    # The first 3 styles are of `z`.
    tensors |= {"images_truncated": truncated, "images_mixed": g([w, w2], inject_index=3, **settings)}
    for lod in LODS:
        images = g(w, **settings, **_mmagic.stage(lod, RES))
        logits = d(images, **_mmagic.stage(lod, RES))
        tensors |= {f"images.lod{lod}": images, f"logits.lod{lod}": logits}
        if lod == 0.4:
            logits.square().mean().backward(retain_graph=True)
    _mmagic.save(path, "tools/golden/stylegan1.py", our_names(g, d), tensors)
    for res, planes in ((256, 5), (1024, 3)):
        print(res, planes, *(_mmagic.count(n) for n in networks(res, planes, 512, 512, 8, 16384, 512)), "parameters")


if __name__ == "__main__":
    main(sys.argv[1])
