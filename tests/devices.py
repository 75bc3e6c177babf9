"""A device that is not the CPU, for machines without a GPU (see made_up_device.cpp), and the devices that tests run on."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import torch

NAME = "made_up"
SOURCE = Path(__file__).with_name("made_up_device.cpp")
# where there is a GPU the same tests run on it
DEVICES = [NAME, *(["cuda"] if torch.cuda.is_available() else [])]


def built() -> "Path | None":
    "The device's library, compiled once for each version of its source and of PyTorch; None without a compiler."
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    digits = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "crimenb" / "made_up_device"
    library = folder / f"{digits}.so"
    if library.exists() or not compiler: return library if library.exists() else None
    from torch.utils.cpp_extension import include_paths, library_paths
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        fresh = Path(place) / library.name
        line = [compiler, "-std=c++20", "-O1", "-shared", "-fPIC", "-w", f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
                *(f"-isystem{p}" for p in include_paths()), *(f"-L{p}" for p in library_paths()), str(SOURCE), "-o", str(fresh), "-lc10", "-ltorch_cpu", "-ltorch"]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode: raise RuntimeError(f"{SOURCE.name} can not be compiled: {done.stderr[-3000:]}")
        os.replace(fresh, library)
    return library


def begin(library) -> None:
    "Make the device known to PyTorch in this process."
    if hasattr(torch, NAME): return
    torch.ops.load_library(str(library))
    torch.utils.rename_privateuse1_backend(NAME)
    about = types.ModuleType(NAME)
    about.is_available, about.device_count, about.current_device = lambda: True, lambda: 1, lambda: 0
    about._is_in_bad_fork, about.manual_seed_all, about.get_amp_supported_dtype = lambda: False, lambda seed: None, lambda: [torch.bfloat16]
    torch._register_device_module(NAME, about)
    torch.ops.made_up.begin()


def waits() -> int:
    "How often the host has waited for the device since this was last asked."
    return torch.ops.made_up.waits(True)


def usual() -> None:
    "Make it the device that everything is trained on, as a GPU is where there is one."
    begin(built())
    from crimenb import training
    training.best_device = lambda: torch.device(NAME)


if __name__ == "__main__": print(built(), file=sys.stderr)
