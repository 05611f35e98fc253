"""Golden values of Swin Transformer + UPerNet: crates/nets/tests/golden/swin_upernet.safetensors.

From `transformers` itself, a tiny network in f64: weights, inputs, outputs of both heads, and gradients of half the sum of
the outputs' squares. Three cases share the weights:

    shift  windows divide the first three stages, the last is smaller than a window; training mode, so batch statistics,
           and the running ones afterwards
    pad    windows divide the first two stages only; running statistics
    odd    another window, odd, that divides nothing and is larger than the last three stages

    pip install torch==2.11.0 safetensors==0.8.0 numpy && pip install --no-deps transformers==5.23.0 tokenizers
    python tools/golden/swin_upernet.py
"""

import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers import SwinConfig, UperNetConfig, UperNetForSemanticSegmentation

STAGES = ["stage1", "stage2", "stage3", "stage4"]
TABLE = "relative_position_bias_table"
# The one that nothing uses.
UNUSED = "backbone.swin.layernorm."


def network(inputs, classes, side, embedding, depths, heads, window, decoder, auxiliary, drop_path=0.0):
    backbone = SwinConfig(
        image_size=side,
        num_channels=inputs,
        embed_dim=embedding,
        depths=depths,
        num_heads=heads,
        window_size=window,
        drop_path_rate=drop_path,
        out_features=STAGES,
    )
    config = UperNetConfig(
        backbone_config=backbone, num_labels=classes, hidden_size=decoder, auxiliary_channels=auxiliary
    )
    return UperNetForSemanticSegmentation(config)


def tiny(side, window):
    return network(2, 3, side, 8, (2, 2, 2, 1), (1, 2, 2, 4), window, 12, 8).double()


def outputs(net, x):
    """Logits of both heads, enlarged as `forward` enlarges them; it returns those of the main head alone."""
    features = net.backbone(x).feature_maps
    heads = net.decode_head(features), net.auxiliary_head(features)
    enlarged = [torch.nn.functional.interpolate(h, size=x.shape[2:], mode="bilinear", align_corners=False) for h in heads]
    if not net.training:
        assert torch.equal(enlarged[0], net(x).logits)
    return enlarged


def main():
    torch.manual_seed(20261123)
    torch.set_num_threads(1)
    tensors = {}
    first = None
    for case, side, window, n, training in (("shift", 64, 4, 5, True), ("pad", 96, 4, 1, False), ("odd", 32, 7, 2, False)):
        net = tiny(side, window).train(training)
        state = net.state_dict()
        if first is None:
            for name, value in state.items():
                if name.endswith("running_var"):
                    value.copy_((1 + 0.5 * torch.rand_like(value)).float())
                elif value.is_floating_point():
                    # Exact in f32, and gains and offsets away from their initial 1 and 0.
                    value.copy_((value + (1.0 if TABLE in name else 0.15) * torch.randn_like(value)).float())
            first = {name: value.clone() for name, value in state.items()}
        else:
            for name, value in state.items():
                if value.shape == first[name].shape:
                    value.copy_(first[name])
                else:
                    value.copy_(torch.randn_like(value).float())
                    tensors[f"{case}.weight.{name}"] = value.clone()
        x = torch.randn(n, 2, side, side, dtype=torch.float64).float().double().requires_grad_()
        results = outputs(net, x)
        sum(y.square().sum() / 2 for y in results).backward()
        tensors |= {f"{case}.input": x, f"{case}.input_gradient": x.grad}
        tensors |= {f"{case}.output.{i}": y for i, y in enumerate(results)}
        for name, parameter in net.named_parameters():
            if not name.startswith(UNUSED):
                # All gradients of all cases would triple the file; norms of all and a few whole ones say as much.
                tensors[f"{case}.gradient_norm.{name}"] = parameter.grad.norm()
                if ".2.blocks.1.attention" in name or "fpn_bottleneck" in name:
                    tensors[f"{case}.gradient.{name}"] = parameter.grad
        if training:
            running = {k: v for k, v in net.state_dict().items() if "running" in k}
            tensors |= {f"{case}.after.{k}": v for k, v in running.items()}
    for name, value in first.items():
        if value.is_floating_point() and not name.startswith(UNUSED):
            tensors[f"weight.{name}"] = value
    path = pathlib.Path(__file__).resolve().parents[2] / "crates/nets/tests/golden/swin_upernet.safetensors"
    metadata = {
        "script": "tools/golden/swin_upernet.py",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)
    print(path, sum(v.numel() for v in tensors.values()), "values")
    for name, embedding, depths, heads in (
        ("Swin-T", 96, (2, 2, 6, 2), (3, 6, 12, 24)),
        ("Swin-S", 96, (2, 2, 18, 2), (3, 6, 12, 24)),
        ("Swin-B", 128, (2, 2, 18, 2), (4, 8, 16, 32)),
    ):
        with torch.device("meta"):
            net = network(4, 4, 256, embedding, depths, heads, 7, 512, 256)
        used = sum(p.numel() for k, p in net.named_parameters() if not k.startswith(UNUSED))
        print(name, "4 channels, 4 classes:", used, "parameters, and", 16 * embedding, "that nothing uses")


if __name__ == "__main__":
    main()
