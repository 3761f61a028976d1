/* Numbers as a file of NumPy's, which `npy` reads again. */
#ifndef UPT_NPY_H
#define UPT_NPY_H

#include "base/base.h"
#include "base/spec.h"

typedef struct Numbers {
    const void *at;
    DType dtype; /* not bf16, which NumPy has no name for */
    int rank;
    const int64_t *dim;
} Numbers;
bool npy_write(const char *path, const Numbers *x, Err *e);

#endif
