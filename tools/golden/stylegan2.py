"""Golden values for the StyleGAN 2 networks: weights, inputs, outputs and gradients of a tiny configuration
from the plain PyTorch implementation in tools/bench/gans_stylegan2_torch.py.

    python tools/golden/stylegan2.py crates/nets/tests/golden/stylegan2.safetensors
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
import gans_stylegan2_torch as peer

RES, PLANES, Z, W, LAYERS = 16, 3, 6, 8, 2


def main(path):
    torch.manual_seed(20260101)
    torch.set_num_threads(1)
    channels = peer.channel_function(64, 6)
    g = peer.Generator(RES, PLANES, Z, W, LAYERS, channels)
    d = peer.Discriminator(RES, PLANES, channels, group=4)
    with torch.no_grad():
        # Every parameter away from its initial value, so that each one matters.
        for p in list(g.parameters()) + list(d.parameters()):
            p.add_(torch.randn_like(p) * 0.1)
        g.mapping.w_avg.copy_(torch.randn(W))
    tensors = {f"g.{k}": v for k, v in g.state_dict().items()}
    tensors |= {f"d.{k}": v for k, v in d.state_dict().items()}

    z = torch.randn(8, Z)
    images = g(z)
    logits = d(images)
    d.zero_grad()
    g.zero_grad()
    logits.square().mean().backward()
    tensors |= {"z": z, "images": images, "logits": logits}
    tensors |= {f"grad.g.{k}": p.grad for k, p in g.named_parameters()}
    tensors |= {f"grad.d.{k}": p.grad for k, p in d.named_parameters()}
    w = g.mapping(z)
    w = g.mapping.w_avg.lerp(w, 0.7)
    tensors["images_truncated"] = g.synthesis(w[:, None].repeat(1, g.num_ws, 1))
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    save_file(tensors, path, metadata={"torch": torch.__version__, "script": "tools/golden/stylegan2.py"})
    print(path, sum(t.numel() for t in tensors.values()), "values")

    # Parameter counts of two configurations, for the table in the Rust test.
    for res, planes, dims, base, largest in [(64, 5, 512, 4096, 128), (256, 5, 512, 32768, 512), (64, 5, 512, 16384, 512)]:
        c = peer.channel_function(base, largest)
        count = lambda m: sum(p.numel() for p in m.parameters())
        print(res, planes, dims, base, largest, count(peer.Generator(res, planes, dims, dims, 8, c)), count(peer.Discriminator(res, planes, c)))


if __name__ == "__main__":
    main(sys.argv[1])
