"""PyTorch as fast as a processor lets it be: what its processes get in their environment, in every benchmark alike."""
import glob
import os

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "OMP_PROC_BIND": "true",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:"
                      "glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456",
}


def environment(threads):
    blas = glob.glob("/usr/lib/*/openblas-openmp")  # shares PyTorch's own threads; the other builds fight with them
    return dict(os.environ, OMP_NUM_THREADS=str(threads), LD_LIBRARY_PATH=blas[0] if blas else "", **SETTINGS)
