"""mmagic's GAN networks without the rest of mmagic, which needs a compiled mmcv and much else.

    pip install torch==2.11.0 safetensors mmengine==0.10.7 mmcv-lite==2.1.0
    pip install --no-deps mmagic==1.2.0

Packages whose `__init__` imports everything are replaced by empty ones with the same path. `mmcv.ops.upfirdn2d` is
mmcv's own reference implementation in plain PyTorch.
"""

import importlib
import math
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import mmcv
import mmcv.utils.ext_loader
import torch
from mmengine.registry import MODELS
from safetensors.torch import save_file

VERSIONS = {name: version(name) for name in ("torch", "mmagic", "mmengine", "mmcv-lite")}


def _package(name, path, **contents):
    module = ModuleType(name)
    module.__path__ = [str(path)]
    vars(module).update(contents)
    sys.modules[name] = module
    return module


def _pixel_norm(x, eps=1e-8):
    """NVIDIA's: mmagic divides by `rms + 1e-6` instead."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _load():
    mmcv.utils.ext_loader.load_ext = lambda name, functions: None
    _package("mmcv.ops", Path(mmcv.__file__).parent / "ops")
    reference = importlib.import_module("mmcv.ops.upfirdn2d").upfirdn2d
    _package("mmcv.ops.fused_bias_leakyrelu", "", fused_bias_leakyrelu=None)
    # The reference wants its filter in f32, whatever the input; the networks' filters are exact in it.
    sys.modules["mmcv.ops.upfirdn2d"].upfirdn2d = lambda x, kernel, padding: reference(
        x, kernel.float(), padding=padding, use_custom_op=False
    )

    root = Path(importlib.import_module("mmagic").__file__).parent / "models"
    _package("mmagic.models", root)
    _package("mmagic.models.archs", root / "archs", AllGatherLayer=None)
    _package("mmagic.models.utils", root / "utils", get_module_device=lambda network: next(network.parameters()).device)
    _package("mmagic.models.editors", root / "editors")
    pggan = _package("mmagic.models.editors.pggan", root / "editors/pggan")
    modules = importlib.import_module("mmagic.models.editors.pggan.pggan_modules")
    modules.pixel_norm = _pixel_norm
    # mmcv looks for it in the root of the registries unless a runner has set a scope.
    MODELS.register_module(module=modules.PixelNorm)
    vars(pggan).update({k: v for k, v in vars(modules).items() if not k.startswith("_")})
    _package("mmagic.models.editors.stylegan1", root / "editors/stylegan1")
    return importlib.import_module


def load(family, *names):
    """Modules of `mmagic.models.editors`."""
    return [_import(f"mmagic.models.editors.{family}.{name}") for name in names]


def set_gain(module, gain):
    """Changes the gain of a layer with equalised learning rate."""
    (hook,) = [hook for hook in module._forward_pre_hooks.values() if type(hook).__name__ == "EqualizedLR"]
    hook.gain = gain


def stage(lod, resolution):
    """mmagic's arguments for a level of detail."""
    return {"curr_scale": resolution >> math.floor(lod), "transition_weight": 1 - lod % 1}


def save(path, script, networks, tensors):
    """Writes weights and gradients of `networks` (`g`, `d`: our name to mmagic's parameter, our shape, what mmagic adds
    to our value) together with other tensors."""
    for network, layers in networks.items():
        for name, (parameter, shape, offset) in layers.items():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            tensors[f"{network}.{name}"] = (parameter.detach() - offset).reshape(shape)
            tensors[f"grad.{network}.{name}"] = gradient.reshape(shape)
    tensors = {k: v.detach().clone().float().contiguous() for k, v in tensors.items()}
    save_file(tensors, path, metadata=VERSIONS | {"script": script})
    print(path, sum(t.numel() for t in tensors.values()), "values")


def entry(parameter, shape=None, offset=0.0):
    """One parameter for [`save`]."""
    return parameter, parameter.shape if shape is None else shape, offset


def layer(name, module, weight_shape=None):
    """Weight and bias of a layer with equalised learning rate."""
    linear = getattr(module, "conv", module)
    layers = {f"{name}.weight": entry(linear.weight_orig, weight_shape)}
    return layers if linear.bias is None else layers | {f"{name}.bias": entry(linear.bias)}


def complete(layers, network):
    """Fails unless every parameter of `network` is among `layers`."""
    assert {id(p) for p, _, _ in layers.values()} == {id(p) for p in network.parameters()}
    return layers


def disturb(network, scale=lambda name: 0.1):
    """Moves every parameter away from its initial value, so that each one matters."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(torch.randn_like(parameter) * scale(name))


def count(*networks):
    """Number of trainable values."""
    return sum(p.numel() for network in networks for p in network.parameters())


_import = _load()
