"""PyTorch as fast as a processor lets it be, found and started by every benchmark alike."""
import glob
import os
import subprocess
import sys

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "OMP_PROC_BIND": "true",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:"
                      "glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456",
}


def environment(threads):
    blas = glob.glob("/usr/lib/*/openblas-openmp")  # shares PyTorch's own threads; the other builds fight with them
    return dict(os.environ, OMP_NUM_THREADS=str(threads), LD_LIBRARY_PATH=blas[0] if blas else "", **SETTINGS)


class Peer:
    def __init__(self, python, version, mode):
        self.python, self.mode, self.name = python, mode, f"PyTorch {version} {mode}"


def find_peers(pythons):
    peers, seen = [], set()
    for python in pythons or ("python3", "/usr/bin/python3"):
        probe = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=False)
        version = probe.stdout.strip()
        if probe.returncode == 0 and version not in seen:
            seen.add(version)
            modes = ("eager",) if version.startswith("1.") else ("eager", "compiled")
            peers += [Peer(python, version, mode) for mode in modes]
        elif pythons and probe.returncode:
            sys.exit(f"bench: '{python}' cannot import torch")
    return peers
