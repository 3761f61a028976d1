"""Products by OpenBLAS, beside which upt's own have to stand: cblas_sgemm of a size, again and again on the same operands.

usage: bench/blas.py THREADS TIMES M N K     prints the seconds that TIMES products take; nothing where there is no OpenBLAS

OPENBLAS_CORETYPE says for which processor its kernels are to be, which it asks for once: so this is a process of its own.
"""
import ctypes
import ctypes.util
import statistics
import sys
import time

ROW_MAJOR, AS_IT_IS = 101, 111
COUNTS = 5


def open_blas(threads):
    """The library, or None where there is none."""
    name = ctypes.util.find_library("openblas")
    if not name:
        return None
    blas = ctypes.CDLL(name)
    blas.openblas_set_num_threads(threads)
    return blas


def floats(n):
    return (ctypes.c_float * n)(*([0.5] * min(n, 64)))


def seconds(blas, times, m, n, k):
    """Median of the time of `times` products m x n x k, row by row, after one that does not count."""
    a, b, c = floats(m * k), floats(k * n), floats(m * n)
    one = ctypes.c_float(1)
    took = []
    for _ in range(COUNTS + 1):
        start = time.perf_counter()
        for _ in range(times):
            blas.cblas_sgemm(ROW_MAJOR, AS_IT_IS, AS_IT_IS, m, n, k, one, a, k, b, n, ctypes.c_float(0), c, n)
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])


def main():
    if len(sys.argv) != 6 or not all(x.isdigit() for x in sys.argv[1:]):
        sys.exit(__doc__)
    threads, times, m, n, k = (int(x) for x in sys.argv[1:])
    blas = open_blas(threads)
    if blas:
        print(seconds(blas, times, m, n, k))


if __name__ == "__main__":
    main()
