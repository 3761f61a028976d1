/* What the machine is and what it can do: measured by `uptc doctor`, kept beside the compiled
 * kernels, and read by profiles, which say how near to it a step comes. */
#ifndef UPT_MACHINE_H
#define UPT_MACHINE_H

#include "runtime/runtime.h"

/* What is measured: name in files, unit, digits after the point, what it says to a person. */
/* clang-format off */ /* one row a figure */
#define MACHINE_FIGURES(X)                                                                           \
    X(fma,              "GFLOP/s", 1, "f32 multiply-add")                                            \
    X(dot_bf16,         "GFLOP/s", 1, "bf16 dot product, summed in f32")                                \
    X(dot_parts,        "GFLOP/s", 1, "f32 as three bf16, six dot products")                         \
    X(product_wide,     "GFLOP/s", 1, "product 1024x3072x768")                                       \
    X(product_square,   "GFLOP/s", 1, "product 1024x768x768")                                        \
    X(product_weight,   "GFLOP/s", 1, "product 768x3072x1024, transposed")                           \
    X(product_scores,   "GFLOP/s", 1, "96 products 128x128x64, transposed")                          \
    X(product_bf16,     "GFLOP/s", 1, "product 1024x3072x768, bf16")                                 \
    X(l2_triad,         "GB/s",    1, "level-2 cache, triad")                                        \
    X(l3_triad,         "GB/s",    1, "level-3 cache, triad")                                        \
    X(copy,             "GB/s",    1, "memory, copy")                                                \
    X(copy_streaming,   "GB/s",    1, "memory, copy with streaming stores")                          \
    X(triad,            "GB/s",    1, "memory, triad")                                               \
    X(triad_streaming,  "GB/s",    1, "memory, triad with streaming stores")                         \
    X(touch,            "GB/s",    1, "first touch, small pages")                                    \
    X(touch_huge,       "GB/s",    1, "first touch, huge pages")                                     \
    X(dispatch,         "us",      2, "work handed to all threads and back")                         \
    X(llvm_start,       "ms",      1, "LLVM starts in")                                              \
    X(llvm_kernel,      "ms",      1, "a kernel compiles in")                                        \
    X(disk,             "MB/s",    0, "checkpoints are written at")
/* clang-format on */
typedef enum FigureId {
#define X(name, ...) FIG_##name,
    MACHINE_FIGURES(X)
#undef X
        FIGURES
} FigureId;
typedef struct Figure { /* with one thread, with all; 0: not measured, or only one of them means
                           anything */
    double one, all;
} Figure;
typedef struct FigureInfo {
    const char *name, *unit;
    int digits;
    const char *what;
} FigureInfo;
extern const FigureInfo figure_info[FIGURES];

struct Machine {
    char processor[128];              /* as the system names it */
    uint64_t key;                     /* of all that makes one machine as fast as another */
    int cores;                        /* this process may use */
    double quota;                     /* cores' worth of time it may use; 0: no limit */
    int64_t memory, available, limit; /* bytes; limit: of the control group, 0: none */
    int64_t l2, l3;                   /* bytes: level 2 of a core, level 3 */
    char huge[16];                    /* "always", "madvise", "never", "" where unknown */
    Figure figure[FIGURES];
};

void machine_look(Machine *m); /* all but the figures */
/* Text of a file, as JSON. Reading: false where it is no such text, of another machine, or of a
 * version that measured less. */
void machine_print(const Machine *m, Buf *b);
bool machine_read(Machine *m, const char *text, size_t n);
/* Where the figures of this machine are kept in a folder. */
const char *machine_path(Arena *a, const Machine *m, const char *folder);
double machine_ceiling(const Machine *m, FigureId f, int threads); /* 0: not known */

typedef struct MachineCode {     /* made for the processor */
    RtProbeFn *probe[RT_PROBES]; /* NULL: it cannot do that */
    const RtTiles *tiles; /* of each TileKind */
} MachineCode;
/* Measures with one thread and with all. About four seconds. */
bool machine_measure(Machine *m, const MachineCode *code, Err *e);
/* A checkpoint of 64 MB is written in `folder`, and removed. */
bool machine_measure_disk(Machine *m, const char *folder, Err *e);

#endif
