/* Between the two ways of a scan: calls one after another (builtin_scan.c), and one call that
 * becomes the body of a loop (builtin_loop.c). */
#ifndef UPT_SCAN_H
#define UPT_SCAN_H

#include "frontend/expr.h"

typedef struct Parts { /* a tensor, or several in a tuple; nothing: None */
    TVal *at;
    int n;
    bool tuple;
} Parts;
typedef struct Scan {
    Call *c;
    Elab *cx;
    Parts xs, carry; /* carry: what the next call gets */
    int *axis;       /* by tensor of xs */
    int64_t length;
} Scan;

/* Calls the fn with one place of xs and the carry, which becomes what it returns; y: what it
 * returns beside. False: reported. */
bool scan_call(Scan *s, const Parts *x, Parts *y);
/* `x` with a dimension less, which is of size 1. */
TVal scan_drop(Scan *s, const TVal *x, int axis);
bool scan_can_stack(Scan *s, const TVal *y); /* false: reported */
/* All of the scan as one node. *done is false, and nothing has happened, where it has to be calls:
 * the fn changes a state or watches something, or differentiates for a value from outside. */
bool scan_loop(Scan *s, Parts *ys, bool *done);

#endif
