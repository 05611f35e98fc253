"""Golden values for the StyleGAN 3 networks: weights, inputs, outputs and gradients of tiny -t and -r configurations,
and low-pass filters.

The judges are other people's code, used as it is: the networks of PyPI's mmagic 1.2.0 over the pure-Python reference
operations of PyPI's mmcv 2.1.0 (some of its files carry NVIDIA's licence for research: they are run here, nothing of
them is kept), and scipy. Neither package has to be installed or compiled: give the folders of the unpacked wheel of
mmagic and the unpacked source archive of mmcv, with torch, numpy, scipy and safetensors installed.

    python tools/golden/stylegan3.py MMAGIC_FOLDER MMCV_FOLDER crates/nets/tests/golden/stylegan3.safetensors
"""

import importlib.util
import sys
import types
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import scipy
import scipy.signal
import scipy.special
import torch
from safetensors.torch import save_file

# mmcv says at every convolution that it falls back to PyTorch's.
warnings.filterwarnings("ignore", message="Since aten:cudnn_convolution_backward_weight")


def module(name, **contents):
    """A module made of what is given."""
    made = types.ModuleType(name)
    made.__path__ = []
    made.__dict__.update(contents)
    sys.modules[name] = made
    return made


def source(name, path):
    """A module from its file, under a name of our choice."""
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def load(mmagic, mmcv):
    """mmagic's StyleGAN 3 over mmcv's operations, with stand-ins for their registries and compiled extensions."""
    registry = types.SimpleNamespace(register_module=lambda *args, **kwargs: lambda cls: cls)
    module("mmengine")
    module("mmengine.utils", digit_version=lambda text: tuple(int(part) for part in text.split("+")[0].split(".")))
    module("mmengine.utils.dl_utils")
    module("mmengine.utils.dl_utils.parrots_wrapper", is_rocm_pytorch=lambda: False)
    module("mmengine.model", BaseModule=torch.nn.Module)
    module("mmengine.runner")
    module("mmengine.runner.amp", autocast=lambda enabled: nullcontext())
    module("mmagic")
    module("mmagic.registry", MODELS=registry)
    module("mmcv")
    module("mmcv.utils", ext_loader=types.SimpleNamespace(load_ext=lambda name, functions: None))
    operations = module("mmcv.ops")
    folder = Path(mmcv) / "mmcv" / "ops"
    operations.conv2d_gradfix = source("mmcv.ops.conv2d_gradfix", folder / "conv2d_gradfix.py")
    operations.bias_act = source("mmcv.ops.bias_act", folder / "bias_act.py").bias_act
    source("mmcv.ops.upfirdn2d", folder / "upfirdn2d.py")
    operations.filtered_lrelu = source("mmcv.ops.filtered_lrelu", folder / "filtered_lrelu.py").filtered_lrelu
    path = Path(mmagic) / "mmagic/models/editors/stylegan3/stylegan3_modules.py"
    return source("stylegan3_modules", path)


def networks(sg3, res, planes, z, w, mapping, radial, **sizes):
    """Mapping and synthesis networks of -t or -r."""
    kernel = 1 if radial else 3
    synthesis = sg3.SynthesisNetwork(w, res, planes, conv_kernel=kernel, use_radial_filters=radial, **sizes)
    return sg3.MappingNetwork(z, w, synthesis.num_ws, num_layers=mapping), synthesis


def golden_networks(sg3, tensors):
    for name, radial, base in [("t", False, 96), ("r", True, 128)]:
        torch.manual_seed(20260101)
        mapping, synthesis = networks(
            sg3, 32, 3, 6, 8, 2, radial, channel_base=base, channel_max=7, num_layers=6, num_critical=2
        )
        with torch.no_grad():
            # Every value away from its initial one, so that each one matters.
            for p in list(mapping.parameters()) + list(synthesis.parameters()):
                p.add_(torch.randn_like(p) * 0.1)
            mapping.w_avg.copy_(torch.randn(8))
            # A user's transform that turns, moves and shrinks the picture.
            transform = torch.tensor([[1.3, -0.4, 0.07], [0.4, 1.3, -0.11], [0.0, 0.0, 1.0]])
            synthesis.input.transform.copy_(transform)
            for key, buffer in synthesis.named_buffers():
                if key.endswith("magnitude_ema"):
                    buffer.fill_(0.5 + torch.rand([]).item())
        # The filters are computed, not stored.
        kept = lambda state: {k: v for k, v in state.items() if not k.endswith("_filter")}
        for prefix, network in [("mapping", mapping), ("synthesis", synthesis)]:
            tensors |= {f"{name}.g.{prefix}.{k}": v.clone() for k, v in kept(network.state_dict()).items()}
        z = torch.randn(3, 6)
        direction = torch.randn(3, 3, 32, 32)
        images = synthesis(mapping(z))
        (images * direction).mean().backward()
        tensors |= {f"{name}.z": z, f"{name}.images": images, f"{name}.direction": direction}
        for prefix, network in [("mapping", mapping), ("synthesis", synthesis)]:
            tensors |= {f"{name}.grad.{prefix}.{k}": p.grad for k, p in network.named_parameters()}
        if name == "t":
            # A transform under which some frequencies fade and some vanish: gradients would lose digits.
            with torch.no_grad():
                synthesis.input.transform.copy_(transform @ torch.diag(torch.tensor([3.7, 3.7, 1.0])))
                tensors["t.faded.transform"] = synthesis.input.transform.clone()
                tensors["t.faded"] = synthesis(mapping(z))
                synthesis.input.transform.copy_(transform)
            # A signal so large that the clamp at 256 acts.
            with torch.no_grad():
                bias = getattr(synthesis, synthesis.layer_names[2]).bias
                bias.mul_(4000)
                tensors["t.clamped"] = synthesis(mapping(z))
                bias.div_(4000)
        with torch.no_grad():
            # Magnitudes follow the batch (decay 0.999 in mmagic) and are used at once.
            tensors[f"{name}.tracked"] = synthesis(mapping(z), update_emas=True)
            for key, buffer in synthesis.named_buffers():
                if key.endswith("magnitude_ema"):
                    tensors[f"{name}.ema.{key}"] = buffer.clone()
        print(name, synthesis.layer_names)


def golden_filters(sg3, tensors):
    """Filters of the designs that occur, in f64: taps, cut-off, width and rate beside them."""
    for index, (taps, cutoff, width, rate) in enumerate(
        [(12, 2.0, 12.0, 32.0), (24, 6.727, 18.55, 128.0), (12, 32.0, 14.79, 128.0), (12, 128.0, 59.2, 512.0)]
    ):
        design = torch.tensor([taps, cutoff, width, rate], dtype=torch.float64)
        line = scipy.signal.firwin(numtaps=taps, cutoff=cutoff, width=width, fs=rate)
        # Karras et al. 2021, appendix C: jinc (first Bessel function over the radius) times a separable Kaiser window.
        x = (np.arange(taps) - (taps - 1) / 2) / rate
        r = np.hypot(x[:, None], x[None, :])
        beta = scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, width / (rate / 2)))
        window = scipy.signal.windows.kaiser(taps, beta)
        disc = scipy.special.j1(2 * np.pi * cutoff * r) / (np.pi * r) * np.outer(window, window)
        disc /= disc.sum()
        theirs = sg3.SynthesisLayer.design_lowpass_filter(taps, cutoff, width, rate, radial=True)
        assert np.abs(theirs.numpy() - disc).max() < 1e-7
        tensors |= {
            f"filter.{index}.design": design,
            f"filter.{index}.line": torch.from_numpy(line),
            f"filter.{index}.disc": torch.from_numpy(disc),
        }


def main(mmagic, mmcv, path):
    torch.set_num_threads(1)
    sg3 = load(mmagic, mmcv)
    tensors = {}
    golden_networks(sg3, tensors)
    golden_filters(sg3, tensors)
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    versions = {"torch": torch.__version__, "scipy": scipy.__version__, "mmagic": "1.2.0", "mmcv": "2.1.0"}
    save_file(tensors, path, metadata=versions | {"script": "tools/golden/stylegan3.py"})
    print(path, sum(t.numel() for t in tensors.values()), "values", versions)

    # Parameter counts of published configurations, for the table in the Rust test.
    count = lambda m: sum(p.numel() for p in m.parameters())
    for name, res, planes, radial, base, largest in [
        ("stylegan3-t 256", 256, 3, False, 32768, 512),
        ("stylegan3-r 256", 256, 3, True, 65536, 1024),
        ("stylegan3-t 64, small", 64, 5, False, 4096, 128),
    ]:
        sizes = {"channel_base": base, "channel_max": largest}
        mapping, synthesis = networks(sg3, res, planes, 512, 512, 2, radial, **sizes)
        print(name, count(mapping), count(synthesis), count(mapping) + count(synthesis), *synthesis.layer_names)


if __name__ == "__main__":
    main(*sys.argv[1:])
