/* Cutting deep reductions: sums over a whole tensor, or over all rows of one with few columns. One
 * reduced axis is cut into parts that become rows of the kernel, so there are enough tasks, a task
 * reads a compact piece, and partial sums keep more of their precision. The parts depend on sizes
 * alone. Limits: all reductions in the first stage, the axis divides well. */
#include "codegen/kernel.h"

enum { DEEP_ELEMENTS = 64 * 1024, PART_ROWS = 32, PART_ELEMENTS = 32 * 1024, FEW_ROWS = 32 };

static bool store_splits(const Kernel *k, const Store *s) {
    const Instr *i = &k->instr.at[s->instr];
    return s->in_loop ? i->stage == 0 : i->reduces && i->op != OP_argmax && i->dtype != DT_bf16;
}

static int longest_reduced(const Kernel *k) {
    int best = -1;
    for (int i = 0; i < k->naxis; i++)
        if (k->reduced[i] && (best < 0 || k->size[i] > k->size[best])) best = i;
    return best;
}

/* The divisor of n nearest to `want`, by ratio. */
static int64_t nearest_divisor(int64_t n, int64_t want) {
    int64_t best = 1;
    double error = 1e300;
    for (int64_t d = 1; d <= n / d; d++) {
        if (n % d != 0) continue;
        for (int64_t x = d;; x = n / d) {
            double ratio = x > want ? (double)x / (double)want : (double)want / (double)x;
            if (ratio < error) error = ratio, best = x;
            if (x == n / d) break;
        }
    }
    return error <= 4 ? best : n;
}

/* The size of a part along `axis`; the whole of it where cutting does not pay. */
static int64_t part_size(const Kernel *k, int axis) {
    int64_t all = 1, kept = 1;
    for (int i = 0; i < k->naxis; i++) {
        all *= k->size[i];
        kept *= k->reduced[i] ? 1 : k->size[i];
    }
    int64_t n = k->size[axis], others = all / kept / n;
    bool deep = all > DEEP_ELEMENTS &&
                (k->mode == MODE_rows ? kept < FEW_ROWS : all / kept >= 2 * PART_ROWS);
    if (!deep || k->naxis == RANK) return n;
    int64_t want = (k->mode == MODE_rows ? PART_ELEMENTS : PART_ROWS) / others;
    return nearest_divisor(n, want > 1 ? want : 1);
}

static void insert_axis(Kernel *k, int axis, int64_t part) {
    for (int i = k->naxis; i > axis; i--) {
        k->size[i] = k->size[i - 1];
        k->reduced[i] = k->reduced[i - 1];
    }
    k->size[axis] /= part;
    k->size[axis + 1] = part;
    k->reduced[axis] = false;
    k->naxis++;
    for (size_t a = 0; a < k->access.n; a++) {
        int64_t *stride = k->access.at[a].stride;
        for (int i = k->naxis - 1; i > axis; i--) stride[i] = stride[i - 1];
        stride[axis] *= part;
    }
}

int64_t kernel_split(Kernel *k) {
    int axis = longest_reduced(k);
    int64_t kept = 1;
    if (axis < 0) return 1;
    for (size_t s = 0; s < k->store.n; s++)
        if (!store_splits(k, &k->store.at[s])) return 1;
    int64_t part = part_size(k, axis), parts = k->size[axis] / part;
    if (parts < 2) return 1;
    for (int i = 0; i < k->naxis; i++) kept *= k->reduced[i] ? 1 : k->size[i];
    insert_axis(k, axis, part);
    for (size_t s = 0; s < k->store.n; s++)
        if (!k->store.at[s].in_loop) k->access.at[k->store.at[s].access].stride[axis] = kept;
    kernel_settle(k);
    return parts;
}
