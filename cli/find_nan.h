/* uptc run --find-nan: which operator made the first number that is none. find_nan.c looks for the
 * node of the step's graph, find_nan_body.c for the operator in it, and tells; find_nan_loop.c for
 * the turn of a loop. */
#ifndef UPT_FIND_NAN_H
#define UPT_FIND_NAN_H

#include "cli/cli.h"

enum { HAS_INFINITY = 1, HAS_NAN = 2, HAS_ANY = 3 };

/* A value as it was looked at. */
typedef struct Look {
    Type type;
    unsigned has;
    double least, most; /* of the finite ones; least above most: there are none */
    int64_t bad, first; /* how many are not finite, and where the first one is; -1 */
    double value;       /* that one */
    bool has_there;
    double there; /* of an input: its element behind the first bad one of the result */
} Look;
enum { LOOKS = 3 };
typedef struct Culprit {
    const Node *n; /* of the graph, or of a fused body */
    Look in[LOOKS], out;
    int nin;
    uint32_t op; /* its number in the body */
    RtPhase phase;
    bool of_infinite; /* its inputs are not finite, and are so on purpose */
} Culprit;

/* Where a graph's values of some kind (HAS_*) come from: the earliest node on a way back from those
 * that are `wanted` (by node; more are marked) whose result has it and none of whose inputs has.
 * `first` and `has` as RtPlan.first, by value; `first` NULL: a result a node. -1: none. */
int64_t find_origin(const Graph *g, const int *first, const uint8_t *has, unsigned kind,
                    bool *wanted);

Culprit culprit_of(const Node *n, const Array *in, const Array *out);
/* The operator of a group that made values of this kind, by interpreting it on its inputs. False:
 * none did, or it is too large. `made_of_constants`: an infinite constant is where it begins. */
bool find_in_body(const Graph *body, const EvalCx *cx, unsigned kind, Culprit *out,
                  bool *made_of_constants);

/* Of a loop, from its inputs and results. */
bool find_in_loop(const Node *n, const Array *in, const Array *out, const EvalCx *cx, unsigned kind,
                  Culprit *c, bool *made_of_constants);

/* `then`: what made NaN of the infinity that `c` made; or NULL. */
void tell_culprit(Diag *d, const Culprit *c, const Culprit *then, const char *step,
                  const char *last_good);

/* For RunOptions: `cx` is the Session. */
bool find_nan(const void *cx, const BadStep *bad);

#endif
