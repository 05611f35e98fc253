"""Tests of the converter.

    pip install torch==2.11.0 safetensors pytest numpy && pip install --no-deps guided-diffusion-sdk==1.0.0
    python -m pytest tools/weights
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import convert  # noqa: E402

GOLDEN = HERE.parents[1] / "crates/nets/tests/golden"
FILTER = torch.tensor([[i * j / 64 for j in (1.0, 3.0, 3.0, 1.0)] for i in (1.0, 3.0, 3.0, 1.0)])


def golden(family, network):
    """Weights under the names that the Rust tests load."""
    tensors = load_file(GOLDEN / f"{family}.safetensors")
    return {k.removeprefix(f"{network}."): v for k, v in tensors.items() if k.startswith(f"{network}.")}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.is_contiguous() and tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name]), name


def to_tensorflow(tensors, transposed=()):
    """NVIDIA's names and axes of the weights of Progressive GAN or StyleGAN 1, written from their code's side."""
    top = max(int(name.split(".")[-3][1:]) for name in tensors if "rgb" in name)
    styled = "mapping.w_avg" in tensors
    found = {}
    for name, tensor in tensors.items():
        parts = name.removeprefix("synthesis.").split(".")
        if parts[0] == "mapping":
            if parts[1] == "w_avg":
                found["dlatent_avg"] = tensor
            else:
                found[f"G_mapping/Dense{parts[1][2:]}/{parts[2]}"] = tensor.t() if parts[2] == "weight" else tensor
            continue
        prefix = "G_synthesis/" if styled else ""
        if parts == ["lod"]:
            found[f"{prefix}lod"] = tensor
            continue
        r = int(parts[0][1:])
        scope, generator = f"{prefix}{r}x{r}", any("torgb" in other for other in tensors)
        if parts[1] in ("torgb", "fromrgb"):
            lod = (top // r).bit_length() - 1
            scope = f"{prefix}{'ToRGB' if generator else 'FromRGB'}_lod{lod}"
        elif parts[1] == "const":
            found[f"{scope}/Const/const"] = tensor[None]
            continue
        else:
            layers = {"dense": "Dense", "conv": "Conv", "fc": "Dense0", "out": "Dense1"}
            up, down = ("Conv0_up", "Conv1") if generator else ("Conv0", "Conv1_down")
            four = ("Const", "Conv") if r == 4 else (up, down)
            scope += "/" + (layers | {"conv0": four[0], "conv1": four[1]})[parts[1]]
        if parts[2] == "noise_const":
            layer = 2 * (r.bit_length() - 3) + int(parts[1][-1])
            found[f"G_synthesis/noise{layer}"] = tensor[None, None]
        elif parts[2] == "noise_strength":
            found[f"{scope}/Noise/weight"] = tensor
        elif parts[2] == "affine":
            found[f"{scope}/StyleMod/{parts[3]}"] = tensor.t() if parts[3] == "weight" else tensor
        elif tensor.ndim == 4:
            fused = scope.endswith("Conv0_up") and not styled
            if fused:  # The kernel of TensorFlow's transposed convolution.
                found[f"{scope}/weight"] = tensor.flip(2, 3).permute(2, 3, 0, 1)
            else:
                found[f"{scope}/weight"] = tensor.permute(2, 3, 1, 0)
        else:
            found[f"{scope}/{parts[2]}"] = tensor.t() if tensor.ndim == 2 else tensor
    return found


def tensorflow_fused_up(x, kernel):
    """`tf.nn.conv2d_transpose` with the summed shifts of a kernel [height, width, outputs, inputs]: the gradient of a
    convolution of stride 2 with respect to its input."""
    padded = F.pad(kernel.permute(3, 2, 0, 1), (1, 1, 1, 1))
    summed = padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]
    n, _, h, w = x.shape
    image = torch.zeros(n, kernel.shape[2], 2 * h, 2 * w, dtype=x.dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(F.conv2d(image, summed, stride=2, padding=1), image, x)
    return gradient


@pytest.mark.parametrize("family", ["progan", "stylegan1"])
@pytest.mark.parametrize("network", ["g", "d"])
def test_tensorflow_names_and_axes(family, network, tmp_path):
    expected = golden(family, network)
    path = tmp_path / "network.npz"
    np.savez(path, **{name: tensor.numpy() for name, tensor in to_tensorflow(expected).items()})
    architecture, found = convert.convert(family, convert.read(path))
    assert architecture == f"{family}-{'generator' if network == 'g' else 'discriminator'}"
    assert_equal(found, expected)


def test_fused_up_sampling_is_plain_up_sampling_with_the_converted_kernel():
    torch.manual_seed(1)
    x = torch.randn(2, 5, 6, 6, dtype=torch.float64)
    weight = torch.randn(3, 3, 4, 5)
    tensors = to_tensorflow(golden("progan", "g"))
    tensors["8x8/Conv0_up/weight"] = weight
    ours = convert.convert("progan", tensors)[1]["b8.conv0.weight"].double()
    plain = F.conv2d(F.interpolate(x, scale_factor=2.0), ours, padding=1)
    assert torch.allclose(plain, tensorflow_fused_up(x, weight.double()), atol=1e-12)


def test_fused_down_sampling_needs_no_flip():
    torch.manual_seed(2)
    x, kernel = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    padded = F.pad(kernel, (1, 1, 1, 1))
    summed = (padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]) / 4
    plain = F.avg_pool2d(F.conv2d(x, kernel, padding=1), 2)
    assert torch.allclose(F.conv2d(x, summed, stride=2, padding=1), plain, atol=1e-5)


@pytest.mark.parametrize("fused_scale, fused", [("auto", {128, 256}), ("always", {8, 128, 256}), ("never", set())])
def test_stylegan1_flips_the_kernels_of_fused_layers(fused_scale, fused):
    torch.manual_seed(3)
    tensors = golden("stylegan1", "g")
    top = {k.split("b16.")[1]: v for k, v in tensors.items() if ".b16." in k}
    for r in (32, 64, 128, 256):
        noise = {f"conv{i}.noise_const": torch.randn(r, r) for i in range(2)}
        tensors |= {f"synthesis.b{r}.{k}": v for k, v in (top | noise).items()}
    # Levels above 16x16 repeat its maps, which their first convolution could not take; only names and axes matter.
    found = convert.convert("stylegan1", to_tensorflow(tensors), fused_scale)[1]
    for r in (8, 128, 256):
        name = f"synthesis.b{r}.conv0.weight"
        assert torch.equal(found[name], tensors[name].flip(2, 3) if r in fused else tensors[name])
    x, name = torch.randn(1, found["synthesis.b128.conv0.weight"].shape[1], 4, 4), "synthesis.b128.conv0.weight"
    if 128 in fused:
        # StyleGAN's kernel is [height, width, inputs, outputs] and transposed before it is used.
        kernel = to_tensorflow(tensors)["G_synthesis/128x128/Conv0_up/weight"].permute(0, 1, 3, 2)
        plain = F.conv2d(F.interpolate(x, scale_factor=2.0), found[name], padding=1)
        assert torch.allclose(plain, tensorflow_fused_up(x, kernel), atol=1e-5)


def test_unfused_progan_and_grown_networks():
    expected = golden("progan", "g")
    tensors = to_tensorflow(expected)
    for r in (8, 16):
        tensors[f"{r}x{r}/Conv0/weight"] = expected[f"b{r}.conv0.weight"].permute(2, 3, 1, 0)
        tensors[f"{r}x{r}/Conv0/bias"] = tensors.pop(f"{r}x{r}/Conv0_up/bias")
        del tensors[f"{r}x{r}/Conv0_up/weight"]
    tensors["lod"] = torch.tensor(1.5)
    assert_equal(convert.convert("progan", tensors)[1], expected | {"lod": torch.tensor(1.5)})
    styled = to_tensorflow(golden("stylegan1", "g")) | {"lod": torch.tensor(2.0)}
    assert convert.convert("stylegan1", styled)[1]["synthesis.lod"] == 2
    del styled["lod"], styled["G_synthesis/lod"]
    assert convert.convert("stylegan1", styled)[1]["synthesis.lod"] == 0


@pytest.mark.parametrize("network", ["g", "d"])
def test_stylegan2_loses_its_filters(network):
    expected = golden("stylegan2", network)
    filters = {"b8.resample_filter": FILTER} if network == "d" else {"synthesis.b8.conv0.resample_filter": FILTER}
    architecture, found = convert.convert("stylegan2", expected | filters)
    assert architecture == f"stylegan2-{'generator' if network == 'g' else 'discriminator'}"
    assert_equal(found, expected)
    if network == "d":
        assert convert.convert("stylegan3", expected | filters)[0] == "stylegan2-discriminator"
    with pytest.raises(convert.ConversionError, match=r"only the filter \[1, 3, 3, 1\]"):
        convert.convert("stylegan2", expected | {"b8.resample_filter": FILTER.flip(0) * 2})


def stylegan3_generator():
    torch.manual_seed(4)
    names = {"fc0.weight": [8, 6], "fc0.bias": [8], "fc1.weight": [8, 8], "fc1.bias": [8], "w_avg": [8]}
    tensors = {f"mapping.{k}": torch.randn(v) for k, v in names.items()}
    names = {"weight": [5, 5], "affine.weight": [4, 8], "affine.bias": [4], "freqs": [5, 2], "phases": [5]}
    tensors |= {f"synthesis.input.{k}": torch.randn(v) for k, v in names.items()}
    tensors["synthesis.input.transform"] = torch.eye(3)
    filters = {}
    for layer, outputs in (("L0_36_5", 5), ("L1_36_5", 5), ("L2_16_3", 3)):
        names = {"weight": [outputs, 5, 3, 3], "bias": [outputs], "affine.weight": [5, 8], "affine.bias": [5]}
        tensors |= {f"synthesis.{layer}.{k}": torch.randn(v) for k, v in names.items()}
        tensors[f"synthesis.{layer}.magnitude_ema"] = torch.tensor(1.25)
        filters |= {f"synthesis.{layer}.{k}": torch.randn(12) for k in ("up_filter", "down_filter")}
    return tensors, filters


def test_stylegan3_loses_its_filters():
    expected, filters = stylegan3_generator()
    architecture, found = convert.convert("stylegan3", filters | expected)
    assert architecture == "stylegan3-generator"
    assert_equal(found, expected)
    layers = {k: v for k, v in expected.items() if ".L1_" not in k}
    with pytest.raises(convert.ConversionError, match="layers of the synthesis network"):
        convert.convert("stylegan3", layers)


def unet(planes=3, outputs=3, **settings):
    model = pytest.importorskip("guided_diffusion.unet").UNetModel
    settings = {"use_scale_shift_norm": True, "num_heads": 2} | settings
    return model(16, planes, 32, outputs, 1, (2, 4), channel_mult=(1, 1, 2), **settings)


def test_guided_diffusion_keeps_its_names():
    expected = unet().state_dict()
    architecture, found = convert.convert("guided-diffusion", expected)
    assert architecture == "diffusion-unet"
    assert_equal(found, expected)
    half = {name: tensor.half() for name, tensor in expected.items()}
    assert_equal(convert.convert("guided-diffusion", half)[1], {k: v.float() for k, v in half.items()})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"outputs": 6}, "learn_sigma"),
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm"),
        ({"num_classes": 4}, "unknown: label_emb.weight"),
        ({"resblock_updown": True}, "resblock_updown"),
    ],
)
def test_guided_diffusion_variants_are_refused(settings, message):
    with pytest.raises(convert.ConversionError, match=message):
        convert.convert("guided-diffusion", unet(**settings).state_dict())


def test_missing_unknown_and_broken_tensors_are_named():
    tensors = golden("stylegan2", "d")
    del tensors["b8.conv0.bias"]
    tensors["b8.extra"] = torch.zeros(2)
    with pytest.raises(convert.ConversionError, match=r"(?s)missing: b8.conv0.bias.*unknown: b8.extra \[2\].*hint"):
        convert.convert("stylegan2", tensors)
    tensors = golden("stylegan2", "g") | {"mapping.w_avg": torch.full([8], float("nan"))}
    with pytest.raises(convert.ConversionError, match="mapping.w_avg"):
        convert.convert("stylegan2", tensors)
    tensors["mapping.w_avg"] = torch.full([8], 1e300, dtype=torch.float64)
    with pytest.raises(convert.ConversionError, match="too large"):
        convert.convert("stylegan2", tensors)


def test_the_command_writes_whole_files_and_replaces_none(tmp_path, capsys):
    source, output = tmp_path / "network.pt", tmp_path / "out.safetensors"
    expected = golden("stylegan2", "g")
    torch.save(expected, source)
    assert convert.main(["stylegan2", str(source), str(output)]) == 0
    assert_equal(load_file(output), expected)
    with safe_open(output, "pt") as file:
        metadata = file.metadata()
    assert metadata["architecture"] == "stylegan2-generator" and metadata["source"] == "network.pt"
    assert metadata["sha256"] == convert.sha256(source) and len(metadata["sha256"]) == 64
    before = output.read_bytes()
    assert convert.main(["stylegan2", str(source), str(output)]) == 1
    assert "--force" in capsys.readouterr().err
    assert convert.main(["stylegan3", str(source), str(output), "--force"]) == 1
    assert output.read_bytes() == before
    assert convert.main(["stylegan2", str(source), str(output), "--force"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.pt", "out.safetensors"]


def test_inputs_that_are_no_tensors_are_refused(tmp_path, capsys):
    class Code:
        pass

    output = str(tmp_path / "out.safetensors")
    inputs = {"code.pt": Code(), "list.pt": [torch.zeros(1)], "nested.pt": {"state": {"a": torch.zeros(1)}}}
    Code.__module__, Code.__qualname__ = __name__, "Code"
    globals()["Code"] = Code
    for name, content in inputs.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.npz").write_text("no weights")
    np.savez(tmp_path / "objects.npz", a=np.array([None]))
    for path in [*tmp_path.iterdir(), tmp_path / "absent.pt"]:
        assert convert.main(["stylegan2", str(path), output]) == 1
        assert path.name in capsys.readouterr().err
    assert convert.main(["stylegan2", str(tmp_path / "list.pt"), str(tmp_path / "out.bin")]) == 1
    assert not Path(output).exists()
