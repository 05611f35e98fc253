"""Weights of other people's PyTorch and TensorFlow networks as safetensors files with synthmr's names.

    python tools/weights/convert.py FAMILY INPUT OUTPUT.safetensors

FAMILY is fid-inception, guided-diffusion, stylegan2, stylegan3, stylegan1 or progan; whether INPUT holds a generator or a
discriminator is found out. INPUT is a state dict saved by `torch.save`, or an `.npz` of arrays by name. Needs torch and
safetensors, and numpy for `.npz`. README.md beside this file says how to make INPUT and lists all names.
"""

import argparse
import hashlib
import os
import pickle
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from families import FAMILIES, ConversionError, Dump, require


def read(path):
    """Tensors by name."""
    require(path.is_file(), f"{path} is not a file")
    if path.suffix == ".npz":
        import numpy as np

        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = {name.removesuffix(":0"): torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
        except (ValueError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
            raise ConversionError(f"{path} is not an .npz of numbers: {error}") from error
        return found
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConversionError(
            f"{path} is not a file of tensors only: {(str(error) or repr(error)).splitlines()[0]}\n"
            "hint: load it where its code is, and `torch.save(network.state_dict(), INPUT)`"
        ) from error
    require(
        isinstance(found, dict) and found and all(isinstance(x, torch.Tensor) for x in found.values()),
        f"{path} is not a state dict: tensors by name are needed",
    )
    return found


def convert(family, tensors, fused_scale="auto"):
    """Name of the architecture, and contiguous f32 tensors by synthmr's names.

    Raises ConversionError when the tensors are not those of the family, or not finite."""
    architecture, converted = FAMILIES[family](Dump(tensors), fused_scale)
    converted = {name: tensor.detach().float().contiguous().clone() for name, tensor in converted.items()}
    wrong = [name for name, tensor in converted.items() if not tensor.isfinite().all()]
    require(not wrong, "\n".join(["NaN, infinity or a value too large for f32 in:", *wrong]))
    return architecture, converted


def write(path, tensors, metadata):
    """Writes beside `path` first, so that an interruption leaves no half file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def content(tensors):
    """SHA-256 over names, shapes and values, by name: the program finds damage by it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\n{','.join(map(str, tensor.shape))}\n".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Converts weights to safetensors files with synthmr's names.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("input", type=Path, help="state dict (.pt) or arrays by name (.npz)")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    parser.add_argument(
        "--fused-scale",
        choices=("auto", "always", "never"),
        default="auto",
        help="stylegan1: the generator's fused_scale; auto (the default) fuses from 128x128 up",
    )
    options = parser.parse_args(arguments)
    try:
        require(options.output.suffix == ".safetensors", f"{options.output} does not end in .safetensors")
        require(options.force or not options.output.exists(), f"{options.output} exists\nhint: --force replaces it")
        architecture, tensors = convert(options.family, read(options.input), options.fused_scale)
        metadata = {"architecture": architecture, "source": options.input.name, "sha256": sha256(options.input)}
        metadata["content"] = content(tensors)
        write(options.output, tensors, metadata)
    except (ConversionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    values = sum(tensor.numel() for tensor in tensors.values())
    print(f"{options.output}: {architecture}, {len(tensors)} tensors, {values} values")
    return 0


if __name__ == "__main__":
    sys.exit(main())
