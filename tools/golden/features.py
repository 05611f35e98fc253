"""Golden values of the feature networks: crates/nets/tests/golden/features.safetensors.

Weights are a function of their name and index (crates/nets/tests/it/features.rs makes the same), so that none is stored.
Inputs are u8 images; expected features are those of pytorch-fid's FID network, its resizing included, and of
efficientnet-lite-pytorch with the input as TensorFlow's EfficientNet-lite prepares it.

Run: python tools/golden/features.py
(torch 2.11.0, pytorch-fid 0.3.0, efficientnet-lite-pytorch 0.1.0, safetensors 0.8.0, numpy 2)
"""

import importlib.metadata
import pathlib
import zlib

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from pytorch_fid import inception
from safetensors.torch import save_file


def uniform(start, count):
    """Numbers in [0, 1) by their index, 24 bits."""
    with np.errstate(over="ignore"):
        z = np.arange(start, start + count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def fill(network):
    """Weights of about the size that keeps activations alive through a hundred layers."""
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        u = uniform(zlib.crc32(name.encode()) << 32, tensor.numel())
        if tensor.dim() > 1:
            values = (2 * u - 1) * (6 / tensor[0].numel()) ** 0.5
        elif name.endswith(("running_var", "weight")):
            values = 0.5 + u
        else:
            values = 0.2 * u - 0.05
        tensor.copy_(torch.from_numpy(values.astype(np.float32)).view_as(tensor))
    network.load_state_dict(state)
    return network.eval()


def images(count, side):
    u = uniform(9, count * side * side).reshape(count, 1, side, side)
    y, x = np.mgrid[:side, :side] / side
    return torch.from_numpy((255 * (0.4 * u + 0.6 * np.sin(5 * x + 3 * y) ** 2)).astype(np.uint8))


@torch.no_grad()
def main():
    tensors = {"images": images(2, 64)}
    rgb = tensors["images"].expand(-1, 3, -1, -1).float()

    # pytorch-fid downloads its weights when the network is made; ours take their place.
    published = fill(build())
    inception.fid_inception_v3 = lambda: published
    fid = inception.InceptionV3([3]).eval()
    features = fid(rgb / 255)[0].flatten(1)
    tensors["inception.features"] = features
    # torch-fidelity's Inception Score leaves the offsets of the last layer out.
    tensors["inception.probabilities"] = (features @ published.fc.weight.T).softmax(1)

    lite = fill(EfficientNet.from_name("efficientnet-lite0"))
    x = torch.nn.functional.interpolate(rgb, (224, 224), mode="bilinear", align_corners=False)
    x = (x - 127) / 128
    features = lite.extract_features(x).mean((2, 3))
    tensors["lite.features"] = features
    tensors["lite.probabilities"] = lite._fc(features).softmax(1)

    folder = pathlib.Path(__file__).resolve().parents[2] / "crates/nets/tests/golden"
    packages = ["torch", "pytorch-fid", "efficientnet-lite-pytorch"]
    metadata = {"script": "tools/golden/features.py"} | {name: importlib.metadata.version(name) for name in packages}
    path = folder / "features.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)


def build():
    """`fid_inception_v3` of pytorch-fid without its last two lines, which download."""
    network = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    network.Mixed_5b = inception.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = inception.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = inception.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = inception.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = inception.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = inception.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = inception.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = inception.FIDInceptionE_1(1280)
    network.Mixed_7c = inception.FIDInceptionE_2(2048)
    return network


if __name__ == "__main__":
    main()
