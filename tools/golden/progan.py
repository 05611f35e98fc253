"""Golden values for the Progressive GAN networks: weights, inputs, outputs and gradients of a tiny configuration from
mmagic (PyPI: mmagic 1.2.0, Apache 2.0), at several levels of detail. `_mmagic.py` says what to install.

    python tools/golden/progan.py crates/nets/tests/golden/progan.safetensors

Where mmagic is not what NVIDIA published in 2018 (and what our networks are), it is changed before use:

- Pixel normalisation divides by `rms + 1e-6`; published: multiplies by `rsqrt(mean square + 1e-8)`. Function replaced.
- The discriminator builds the 3x3 convolution at 4x4 without room for the deviation's map and never runs it; published:
  deviation, convolution, two fully connected layers. The deviation's layer is replaced by itself and that convolution,
  the head by one that takes the convolution's maps only.
- Images have 3 planes; for the parameter counts the image layers are replaced.

Not changed but chosen: `fused_upconv=False`, for mmagic's fused convolution scales by the fan of its output maps, and
its kernel is the flipped one. The fused down-sampling is on. Equal as they are: the quarter in the first layer's gain,
all other gains, the order convolution - bias - leaky ReLU - pixel normalisation, the groups and the epsilon of the
deviation, the weights at 4x4, fading.
"""

import sys

import torch
from torch import nn

import _mmagic
from _mmagic import complete, entry, layer

RES, PLANES, Z = 16, 3, 6
# Maps at resolution r are min(BASE / r, LARGEST): 5, 10, 20, and 24 in the discriminator's hidden layer.
BASE, LARGEST = 80, 24
LODS = (0.0, 0.4, 1.0, 1.3)

generator, discriminator, modules = _mmagic.load("pggan", "pggan_generator", "pggan_discriminator", "pggan_modules")


def networks(res, planes, z, base, largest):
    # mmagic's numbers begin at resolution 2.
    sizes = {"base_channels": base // 2, "max_channels": largest}
    g = generator.PGGANGenerator(z, res, fused_upconv=False, **sizes)
    d = discriminator.PGGANDiscriminator(res, in_channels=planes, **sizes)
    if planes != 3:
        for i, old in enumerate(g.torgb_layers):
            g.torgb_layers[i] = modules.EqualizedLRConvModule(
                old.in_channels, planes, 1, equalized_lr_cfg={"gain": 1}, norm_cfg=None, act_cfg=None
            )
    maps, hidden = d._num_out_channels(1), d._num_out_channels(0)
    d.conv_blocks[0] = nn.Identity()
    d.mbstd_layer = nn.Sequential(
        modules.MiniBatchStddevLayer(group_size=4), modules.EqualizedLRConvModule(maps + 1, maps, **d.conv_module_cfg)
    )
    d.decision = modules.PGGANDecisionHead(maps * 16, hidden, 1)
    return g, d


def our_names(g, d):
    resolutions = [4 << i for i in range(len(g.torgb_layers))]
    ours = {
        "b4.dense.weight": entry(g.noise2feat.linear.weight_orig),
        "b4.dense.bias": entry(g.noise2feat.bias, [-1]),
    }
    ours |= layer("b4.conv", g.conv_blocks[0])
    theirs = layer("b4.conv", d.mbstd_layer[1])
    theirs |= layer("b4.fc", d.decision.linear0) | layer("b4.out", d.decision.linear1)
    for i, r in enumerate(resolutions):
        ours |= layer(f"b{r}.torgb", g.torgb_layers[i])
        theirs |= layer(f"b{r}.fromrgb", d.fromrgb_layers[i])
        for j in range(2 if i else 0):
            ours |= layer(f"b{r}.conv{j}", g.conv_blocks[2 * i - 1 + j])
            theirs |= layer(f"b{r}.conv{j}", d.conv_blocks[2 * i - 1 + j])
    return {"g": complete(ours, g), "d": complete(theirs, d)}


def main(path):
    torch.manual_seed(20260301)
    torch.set_num_threads(1)
    g, d = networks(RES, PLANES, Z, BASE, LARGEST)
    for network in (g, d):
        _mmagic.disturb(network)
        # The reference is exact to f32's last digits: computed in f64 from values that f32 holds.
        network.double()
    z = torch.randn(8, Z)
    # The level of detail that a network stores: fully grown.
    tensors = {"z": z, "g.lod": torch.zeros([]), "d.lod": torch.zeros([])}
    for lod in LODS:
        images = g(z.double(), **_mmagic.stage(lod, RES))
        logits = d(images, **_mmagic.stage(lod, RES))
        tensors |= {f"images.lod{lod}": images, f"logits.lod{lod}": logits}
        if lod == 0.4:
            logits.square().mean().backward()
    _mmagic.save(path, "tools/golden/progan.py", our_names(g, d), tensors)
    for res, planes in ((256, 5), (1024, 3)):
        print(res, planes, *(_mmagic.count(n) for n in networks(res, planes, 512, 16384, 512)), "parameters")


if __name__ == "__main__":
    main(sys.argv[1])
