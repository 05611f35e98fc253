"""What the tensors of each family are called there and in synthmr, and in which form they are."""

import re
from itertools import count

import torch

WEIGHTS = ("weight", "bias")
STYLED = (*WEIGHTS, "affine.weight", "affine.bias")
# The only filter of synthmr's StyleGAN 2.
RESAMPLE_FILTER = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8] * 2)


class ConversionError(Exception):
    """What the user has to know; no traceback."""


class Dump:
    """Tensors by name: each is taken once, what is left is unknown, what was asked for in vain is missing."""

    def __init__(self, tensors):
        self.left = dict(tensors)
        self.missing = []
        self.result = {}

    def has(self, name):
        """Whether there is a tensor of this name, or one below it."""
        return name in self.left or any(other.startswith((f"{name}.", f"{name}/")) for other in self.left)

    def pop(self, name):
        """The tensor, or None after a note that it is missing."""
        if name not in self.left:
            self.missing.append(name)
        return self.left.pop(name, None)

    def keep(self, prefix, *names):
        """Takes `prefix.name` for each name under its own name."""
        for name in (f"{prefix}.{name}" for name in names):
            self.put(name, self.pop(name))

    def drop(self, suffix):
        """Takes tensors that synthmr computes itself; yields them."""
        for name in [name for name in self.left if name.split(".")[-1] == suffix]:
            yield name, self.left.pop(name)

    def put(self, name, tensor):
        if tensor is not None:
            self.result[name] = tensor

    def finish(self, hint):
        """The result.

        Raises ConversionError when a name is missing or unknown."""
        if self.missing or self.left:
            lines = [f"missing: {name}" for name in self.missing]
            lines += [f"unknown: {name} {list(tensor.shape)}" for name, tensor in self.left.items()]
            raise ConversionError("\n".join(["the tensors are not those of this family", *lines, f"hint: {hint}"]))
        return self.result


def require(condition, message):
    if not condition:
        raise ConversionError(message)


# guided-diffusion


def guided_diffusion(dump, _):
    def residual(prefix):
        for part in ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"):
            dump.keep(f"{prefix}.{part}", *WEIGHTS)
        if dump.has(f"{prefix}.skip_connection"):
            dump.keep(f"{prefix}.skip_connection", *WEIGHTS)

    def attention(prefix):
        for part in ("norm", "qkv", "proj_out"):
            dump.keep(f"{prefix}.{part}", *WEIGHTS)

    for layer in ("time_embed.0", "time_embed.2", "input_blocks.0.0"):
        dump.keep(layer, *WEIGHTS)
    for i in count(1):
        prefix = f"input_blocks.{i}"
        if not dump.has(prefix):
            break
        if dump.has(f"{prefix}.0.op"):
            dump.keep(f"{prefix}.0.op", *WEIGHTS)
            continue
        residual(f"{prefix}.0")
        if dump.has(f"{prefix}.1"):
            attention(f"{prefix}.1")
    residual("middle_block.0")
    attention("middle_block.1")
    residual("middle_block.2")
    for i in count():
        prefix = f"output_blocks.{i}"
        if not dump.has(prefix):
            break
        residual(f"{prefix}.0")
        attended = dump.has(f"{prefix}.1.qkv")
        if attended:
            attention(f"{prefix}.1")
        change = f"{prefix}.{2 if attended else 1}.conv"
        if dump.has(change):
            dump.keep(change, *WEIGHTS)
    dump.keep("out.0", *WEIGHTS)
    dump.keep("out.2", *WEIGHTS)
    tensors = dump.finish("networks with class labels (label_emb) or resblock_updown are not supported")
    for name, tensor in tensors.items():
        if name.endswith("emb_layers.1.bias"):
            maps = len(tensors[name.replace("emb_layers.1", "out_layers.0")])
            require(len(tensor) == 2 * maps, f"{name}: only networks with use_scale_shift_norm are supported")
    planes, outputs = tensors["input_blocks.0.0.weight"].shape[1], len(tensors["out.2.bias"])
    require(
        planes == outputs,
        f"the network makes {outputs} planes of {planes}: learn_sigma and super-resolution are not supported",
    )
    return "diffusion-unet", tensors


# StyleGAN 2 and 3 in PyTorch


def torch_mapping(dump):
    layers = 0
    while dump.has(f"mapping.fc{layers}"):
        dump.keep(f"mapping.fc{layers}", *WEIGHTS)
        layers += 1
    require(layers, "there is no mapping network (mapping.fc0): INPUT is the dump of a whole generator")
    dump.keep("mapping", "w_avg")


def torch_discriminator(dump):
    check_resample_filters(dump)
    resolutions = powers_of_two(8, lambda r: dump.has(f"b{r}"))
    require(resolutions, "there is no level b8")
    dump.keep(f"b{resolutions[-1]}.fromrgb", *WEIGHTS)
    for r in resolutions:
        dump.keep(f"b{r}.conv0", *WEIGHTS)
        dump.keep(f"b{r}.conv1", *WEIGHTS)
        dump.keep(f"b{r}.skip", "weight")
    for layer in ("conv", "fc", "out"):
        dump.keep(f"b4.{layer}", *WEIGHTS)
    tensors = dump.finish("only residual discriminators without labels are supported")
    check_one_score(tensors)
    return "stylegan2-discriminator", tensors


def stylegan2(dump, _):
    if dump.has("b4.out"):
        return torch_discriminator(dump)
    check_resample_filters(dump)
    torch_mapping(dump)
    dump.keep("synthesis.b4", "const")
    for r in powers_of_two(4, lambda r: dump.has(f"synthesis.b{r}")):
        for layer in ("conv0", "conv1") if r > 4 else ("conv1",):
            dump.keep(f"synthesis.b{r}.{layer}", *STYLED, "noise_strength", "noise_const")
        dump.keep(f"synthesis.b{r}.torgb", *STYLED)
    return "stylegan2-generator", dump.finish("only skip generators without labels (mapping.embed) are supported")


def stylegan3(dump, _):
    if dump.has("b4.out"):
        return torch_discriminator(dump)
    for suffix in ("up_filter", "down_filter"):
        for _ in dump.drop(suffix):
            pass
    torch_mapping(dump)
    dump.keep("synthesis.input", "weight", "affine.weight", "affine.bias", "transform", "freqs", "phases")
    layers = {m[1]: int(m[2]) for m in (re.match(r"synthesis\.(L(\d+)_\d+_\d+)\.", name) for name in dump.left) if m}
    numbers = sorted(layers.values())
    require(numbers and numbers == list(range(len(numbers))), f"layers of the synthesis network are {sorted(layers)}")
    for layer in layers:
        dump.keep(f"synthesis.{layer}", *STYLED, "magnitude_ema")
    return "stylegan3-generator", dump.finish("networks with labels (mapping.embed) are not supported")


def check_resample_filters(dump):
    for name, tensor in dump.drop("resample_filter"):
        same = tensor.shape == RESAMPLE_FILTER.shape and torch.allclose(tensor.float(), RESAMPLE_FILTER, atol=1e-6)
        require(same, f"{name}: only the filter [1, 3, 3, 1] is supported")


def powers_of_two(first, present):
    """The powers from `first` on, as long as they are present."""
    found = []
    while present(first << len(found)):
        found.append(first << len(found))
    return found


def check_one_score(tensors):
    scores = len(tensors["b4.out.bias"])
    require(scores == 1, f"the discriminator has {scores} outputs: networks with labels are not supported")


# Progressive GAN and StyleGAN 1 in TensorFlow


class TensorFlow:
    """Layers of a dump with TensorFlow's names and axes."""

    def __init__(self, dump, prefix=""):
        self.dump, self.prefix = dump, prefix

    def has(self, name):
        return self.dump.has(self.prefix + name)

    def take(self, ours, theirs, change=lambda x: x):
        tensor = self.dump.pop(self.prefix + theirs)
        if tensor is not None:
            self.dump.put(ours, change(tensor))

    def dense(self, ours, theirs):
        """`[inputs, outputs]` becomes `[outputs, inputs]`."""
        self.take(f"{ours}.weight", f"{theirs}/weight", lambda x: axes(theirs, x, 1, 0))
        self.take(f"{ours}.bias", f"{theirs}/bias")

    def conv(self, ours, theirs, order=(3, 2, 0, 1), flip=False):
        """`[height, width, inputs, outputs]` unless another order is given; `flip` turns the kernel around."""

        def change(weight):
            weight = axes(theirs, weight, *order)
            return weight.flip(2, 3) if flip else weight

        self.take(f"{ours}.weight", f"{theirs}/weight", change)
        self.take(f"{ours}.bias", f"{theirs}/bias")

    def levels(self, image_layer):
        """Pairs of resolution and name of the image layer, the smallest first."""
        number = next(i for i in count() if not self.has(f"{image_layer}_lod{i}"))
        require(number > 1, f"there are {number} layers {self.prefix}{image_layer}_lod...")
        return [(4 << i, f"{image_layer}_lod{number - 1 - i}") for i in range(number)]

    def lod(self, ours):
        """Level of detail: fully grown unless the dump says otherwise."""
        known = self.dump.result.get(ours, torch.zeros([]))
        self.dump.put(ours, self.dump.left.pop(f"{self.prefix}lod", known))


def axes(name, tensor, *order):
    require(tensor.ndim == len(order), f"{name}: {len(order)} axes are needed, the shape is {list(tensor.shape)}")
    return tensor.permute(*order)


def tf_discriminator(dump, family):
    tf = TensorFlow(dump)
    for r, image_layer in tf.levels("FromRGB"):
        tf.conv(f"b{r}.fromrgb", image_layer)
        if r > 4:
            tf.conv(f"b{r}.conv0", f"{r}x{r}/Conv0")
            # The fused form is a convolution with the sum of the shifted kernels: no flip.
            down = "Conv1_down" if tf.has(f"{r}x{r}/Conv1_down") else "Conv1"
            tf.conv(f"b{r}.conv1", f"{r}x{r}/{down}")
    tf.conv("b4.conv", "4x4/Conv")
    tf.dense("b4.fc", "4x4/Dense0")
    tf.dense("b4.out", "4x4/Dense1")
    tf.lod("lod")
    tensors = dump.finish("INPUT is the dump of one network, with the names of its `vars`")
    check_one_score(tensors)
    return f"{family}-discriminator", tensors


def progan(dump, _):
    if dump.has("FromRGB_lod0"):
        return tf_discriminator(dump, "progan")
    tf = TensorFlow(dump)
    for r, image_layer in tf.levels("ToRGB"):
        tf.conv(f"b{r}.torgb", image_layer)
        if r == 4:
            tf.dense("b4.dense", "4x4/Dense")
            tf.conv("b4.conv", "4x4/Conv")
            continue
        if tf.has(f"{r}x{r}/Conv0_up"):
            # Fused: the kernel of a transposed convolution, [height, width, outputs, inputs].
            tf.conv(f"b{r}.conv0", f"{r}x{r}/Conv0_up", order=(2, 3, 0, 1), flip=True)
        else:
            tf.conv(f"b{r}.conv0", f"{r}x{r}/Conv0")
        tf.conv(f"b{r}.conv1", f"{r}x{r}/Conv1")
    tf.lod("lod")
    return "progan-generator", dump.finish("INPUT is the dump of one network, with the names of its `vars`")


def stylegan1(dump, fused_scale):
    if dump.has("FromRGB_lod0"):
        return tf_discriminator(dump, "stylegan1")
    mapping, tf = TensorFlow(dump, "G_mapping/"), TensorFlow(dump, "G_synthesis/")
    for i in count():
        if not mapping.has(f"Dense{i}"):
            break
        mapping.dense(f"mapping.fc{i}", f"Dense{i}")
    TensorFlow(dump).take("mapping.w_avg", "dlatent_avg")
    tf.take("synthesis.b4.const", "4x4/Const/const", lambda x: x[0])
    for level, (r, image_layer) in enumerate(tf.levels("ToRGB")):
        tf.conv(f"synthesis.b{r}.torgb", image_layer)
        for i, layer in enumerate(("Const", "Conv") if r == 4 else ("Conv0_up", "Conv1")):
            ours, theirs = f"synthesis.b{r}.conv{i}", f"{r}x{r}/{layer}"
            if layer == "Const":
                tf.take(f"{ours}.bias", f"{theirs}/bias")
            else:
                # Fused: the kernel of a transposed convolution, although its axes are those of a plain one.
                fused = fused_scale == "always" or (fused_scale == "auto" and r >= 128)
                tf.conv(ours, theirs, flip=layer == "Conv0_up" and fused)
            tf.take(f"{ours}.noise_strength", f"{theirs}/Noise/weight")
            tf.take(f"{ours}.noise_const", f"noise{2 * level + i}", lambda x: x[0, 0])
            tf.dense(f"{ours}.affine", f"{theirs}/StyleMod")
    tf.lod("synthesis.lod")
    # The whole generator's level of detail, which its synthesis network follows.
    TensorFlow(dump).lod("synthesis.lod")
    return "stylegan1-generator", dump.finish("INPUT is the dump of a whole generator, with the names of its `vars`")


def fid_inception(dump, _):
    """The Inception-v3 of the FID: names and forms are kept, counters of training batches dropped."""
    for _name, _counter in dump.drop("num_batches_tracked"):
        pass
    blocks = [name.removesuffix(".conv.weight") for name in list(dump.left) if name.endswith(".conv.weight")]
    require(len(blocks) == 94, f"the FID network has 94 convolutions, found {len(blocks)}")
    for block in blocks:
        dump.keep(block, "conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    dump.keep("fc", "weight", "bias")
    return "fid-inception", dump.finish("use pt_inception-2015-12-05-6726825d.pth, which pytorch-fid downloads")


FAMILIES = {
    "fid-inception": fid_inception,
    "guided-diffusion": guided_diffusion,
    "stylegan2": stylegan2,
    "stylegan3": stylegan3,
    "stylegan1": stylegan1,
    "progan": progan,
}
