"""Golden values of the segmentation loss: crates/train/tests/golden/segmentation_losses.safetensors.

Batch soft Dice by MONAI and cross-entropy by PyTorch; with ignored pixels, which MONAI's Dice does not know,
Dice written out from the study's formula (true positives, false positives and false negatives over the kept
pixels). All in f64, with gradients. Run: python tools/golden/segmentation_losses.py
(torch 2.11.0, monai 1.6.1, safetensors 0.8.0)
"""

import pathlib

import monai
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SMOOTH, IGNORE = 1e-5, 255
WEIGHTS = torch.tensor([1, 1 / 2, 1 / 4, 1 / 8, 0], dtype=torch.float64)


def all_pixels(logits, labels):
    dice = monai.losses.DiceLoss(
        include_background=True, to_onehot_y=True, softmax=True, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH
    )
    return dice(logits, labels[:, None]) + F.cross_entropy(logits, labels)


def kept_pixels(logits, labels):
    p, kept = F.softmax(logits, 1), labels != IGNORE
    dice = []
    for c in range(logits.shape[1]):
        truth, probability = (labels == c)[kept], p[:, c][kept]
        tp, fp, fn = probability[truth].sum(), probability[~truth].sum(), (1 - probability[truth]).sum()
        dice.append((2 * tp + SMOOTH) / (2 * tp + fp + fn + SMOOTH))
    return 1 - sum(dice) / len(dice) + F.cross_entropy(logits, labels, ignore_index=IGNORE)


def swin(logits, labels):
    """The loss of the study's Swin: DiceCELoss, the background left out of Dice, predictions squared."""
    loss = monai.losses.DiceCELoss(include_background=False, softmax=True, squared_pred=True)
    # MONAI's own planes would be f32, and their norm with them.
    planes = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2).double()
    return loss(logits, planes)


def main():
    torch.manual_seed(1)
    weights = WEIGHTS / WEIGHTS.sum()
    # Class 3 does not occur: its Dice is decided by the smoothing term.
    labels = torch.randint(0, 3, (2, 6, 5))
    levels = [(2 * torch.randn(2, 4, 6, 5)).double().requires_grad_() for _ in weights]
    ignored = (labels == 0) & (torch.rand(labels.shape) < 0.6)
    masked = labels.masked_fill(ignored, IGNORE)
    tensors = {"labels": labels, "ignored": ignored.to(torch.uint8), "level_weights": weights}
    for i, logits in enumerate(levels):
        tensors[f"logits.{i}"] = logits
    for name, loss, target in (("all", all_pixels, labels), ("kept", kept_pixels, masked)):
        value = loss(levels[0], target)
        tensors[f"{name}.loss"] = value
        tensors[f"{name}.gradient"] = torch.autograd.grad(value, levels[0])[0]
        deep = sum(w * loss(x, target) for w, x in zip(weights, levels))
        tensors[f"{name}.deep_loss"] = deep
        for i, gradient in enumerate(torch.autograd.grad(deep, levels)):
            tensors[f"{name}.deep_gradient.{i}"] = gradient
    tensors["swin.loss"] = swin(levels[0], labels)
    tensors["swin.gradient"] = torch.autograd.grad(tensors["swin.loss"], levels[0])[0]
    path = pathlib.Path(__file__).resolve().parents[2] / "crates/train/tests/golden/segmentation_losses.safetensors"
    metadata = {"script": "tools/golden/segmentation_losses.py", "torch": torch.__version__, "monai": monai.__version__}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
