"""PyTorch as fast as a processor lets it be, found, started and measured by every benchmark alike."""
import glob
import json
import os
import resource
import statistics
import subprocess
import sys
import time

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "OMP_PROC_BIND": "true",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:"
                      "glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456",
}


def environment(threads):
    blas = glob.glob("/usr/lib/*/openblas-openmp")  # shares PyTorch's own threads; the other builds fight with them
    return dict(os.environ, OMP_NUM_THREADS=str(threads), LD_LIBRARY_PATH=blas[0] if blas else "", **SETTINGS)


def peak_mb(command, **kw):
    """Runs a command in a child of its own; its output and peak resident memory."""
    r, w = os.pipe()
    if os.fork() == 0:
        out = subprocess.run(command, capture_output=True, text=True, check=False, **kw)
        with os.fdopen(w, "w") as f:
            json.dump([out.returncode, out.stdout, out.stderr, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024], f)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        code, out, err, peak = json.load(f)
    os.wait()
    if code:
        sys.exit(f"bench: {' '.join(command)}\n{err}")
    return out, peak


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


def time_steps(step, seconds, warm):
    """Median time of a step in ms, those of the first `warm` steps left out, and this process's peak resident memory in MB."""
    times, start = [], time.perf_counter()
    while len(times) < warm + 3 or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        step()
        times.append(time.perf_counter() - t)
    return statistics.median(times[warm:]) * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
