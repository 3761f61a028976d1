/* Matrices row by row (passes/weights.c): a small program with an embedding that its output shares,
 * two layers and one matrix that something else reads too, before and after, by the interpreter.
 * What is kept has to compute what it was made of, as near as its type allows. */
#include <math.h>
#include <string.h>

#include "passes/passes.h"
#include "tests/unit/check.h"

enum { WORDS = 7, WIDTH = 5, HIDDEN = 6, TEXTS = 3, TENSORS = 6 };
enum { EMBED, UP, DOWN, BOTH, BIAS, TOKEN };
static const Span nowhere = {0};

static const struct {
    const char *name;
    DType dtype;
    int rank;
    int64_t dim[2];
} tensors[TENSORS] = {{"embed", DT_f32, 2, {WORDS, WIDTH}}, {"up", DT_f32, 2, {WIDTH, HIDDEN}},
                      {"down", DT_f32, 2, {WIDTH, HIDDEN}}, {"both", DT_f32, 2, {WIDTH, WIDTH}},
                      {"bias", DT_f32, 1, {WIDTH}},         {"token", DT_i32, 1, {TEXTS}}};

static Ref state(Program *p, Graph *g, int i) {
    return graph_add(g, OP_state, &(Attr){.tensor = i}, NULL, 0, &p->tensor[i].type, nowhere);
}

static Program *make(Arena *a) {
    Program *p = program_new(a, diag_new(a));
    for (int i = 0; i < TENSORS; i++)
        program_add_tensor(
            p, &(Tensor){.name = tensors[i].name,
                         .kind = i == TOKEN ? TENSOR_cache : TENSOR_param,
                         .type = type_make(tensors[i].dtype, tensors[i].rank, tensors[i].dim),
                         .like = -1});
    Graph *g = graph_new(a, "generate");
    Ref embed = state(p, g, EMBED), token = state(p, g, TOKEN), bias = state(p, g, BIAS);
    Ref x = graph_add(g, OP_take, &(Attr){.axis = 0}, (Ref[]){embed, token}, 2, NULL, nowhere);
    Ref h = g_dot(g, x, state(p, g, UP), "bm", "mn", "bn", nowhere);
    Attr down = {.dot = {"bn", "mn", "bm", false, false}};
    h = g_unary(g, OP_tanh, h, nowhere);
    h = graph_add(g, OP_dot_add, &down, (Ref[]){bias, h, state(p, g, DOWN)}, 3, NULL, nowhere);
    Ref both = state(p, g, BOTH);
    h = g_dot(g, h, both, "bm", "mn", "bn", nowhere);
    h = g_dot(g, both, h, "mn", "bn", "bm", nowhere); /* the other axis: it stays */
    Ref y = g_dot(g, embed, h, "vm", "bm", "bv", nowhere);
    graph_out(g, OUT_value, NULL, 0, y, nowhere);
    p->entry = NEW(a, Entry);
    p->nentry = p->entrycap = 1;
    p->entry[0] =
        (Entry){.kind = ENTRY_generate, .name = "generate", .data = -1, .batch = 1, .step = g};
    p->stage = STAGE_BUILT | STAGE_PRIMITIVE | STAGE_WHOLE_SET;
    return passes_run_named(p, p->diag, (const char *const[]){"fuse"}, 1, &(PassOptions){0});
}

static double value(int tensor, int64_t i) {
    if (tensor == TOKEN) return (double)(i * 3 % WORDS);
    return (double)random_uniform(1, (uint64_t)tensor, (uint64_t)i) * 2 - 1;
}

/* Element [row, k] of what is kept, as a checkpoint has it. */
static double kept_value(const Tensor *t, int tensor, int64_t row, int64_t k) {
    return t->kept == KEPT_turned ? value(tensor, k * t->type.dim[0] + row)
                                  : value(tensor, row * t->type.dim[1] + k);
}

static double largest(const Tensor *t, int tensor, int64_t row) {
    double most = 0;
    for (int64_t k = 0; k < t->type.dim[1]; k++)
        most = fmax(most, fabs(kept_value(t, tensor, row, k)));
    return most;
}

static void fill(const Program *p, int tensor, double *at) {
    const Tensor *t = &p->tensor[tensor];
    if (t->kind == TENSOR_scale) {
        for (int64_t i = 0; i < t->type.dim[0]; i++)
            at[i] = (float)(largest(&p->tensor[t->like], t->like, i) / 127);
        return;
    }
    for (int64_t i = 0; t->kept == KEPT_as_is && i < type_count(&t->type); i++)
        at[i] = value(tensor, i);
    for (int64_t i = 0; t->kept != KEPT_as_is && i < t->type.dim[0]; i++)
        for (int64_t k = 0; k < t->type.dim[1]; k++) {
            double v = kept_value(t, tensor, i, k), scale = largest(t, tensor, i) / 127;
            at[i * t->type.dim[1] + k] = t->type.dtype == DT_i8 ? rint(v / scale) : v;
        }
}

static Array *compute(Arena *a, const Program *p) {
    Array *in = NEW_N(a, Array, p->ntensor);
    for (int i = 0; i < (int)p->ntensor; i++) {
        in[i] = (Array){p->tensor[i].type, NEW_N(a, double, type_count(&p->tensor[i].type))};
        fill(p, i, in[i].at);
        for (int64_t k = 0; p->tensor[i].type.dtype == DT_bf16 && k < type_count(&in[i].type); k++)
            in[i].at[k] = bf16_to_float(bf16_from_float((float)in[i].at[k]));
    }
    Err e = {0};
    EvalCx cx = {.arena = a, .program = p, .state = in, .live = -1};
    Array *out = graph_eval(p->entry[0].step, &cx, &e);
    EXPECT(out, "%s", e.msg);
    return out;
}

static void test_type(DType to, double tolerance) {
    Arena *a = arena_new();
    const Program *before = make(a);
    Program *after = weights_program(before, to);
    Buf b = {0};
    EXPECT(graph_verify(after, after->entry[0].step, after->stage, &b), "%s: %s", dtype_name(to),
           b.data);
    const Kept kept[] = {KEPT_rows, KEPT_turned, KEPT_rows, KEPT_as_is, KEPT_as_is, KEPT_as_is};
    for (int i = 0; i < TENSORS; i++) {
        const Tensor *t = &after->tensor[i];
        EXPECT(t->kept == kept[i], "%s is kept as %d", t->name, (int)t->kept);
        EXPECT(t->type.dtype == (t->kept == KEPT_as_is ? tensors[i].dtype : to), "%s", t->name);
    }
    EXPECT(after->ntensor == TENSORS + (to == DT_i8 ? 3 : 0), "%zu tensors", after->ntensor);
    const Array *x = compute(a, before), *y = compute(a, after);
    EXPECT(type_same(&x->type, &y->type), "%s: the type of the result", dtype_name(to));
    double most = 0, apart = 0;
    for (int64_t i = 0; i < type_count(&x->type); i++) {
        most = fmax(most, fabs(x->at[i]));
        apart = fmax(apart, fabs(x->at[i] - y->at[i]));
    }
    EXPECT(apart <= tolerance * most, "%s: %g of %g", dtype_name(to), apart, most);
    EXPECT(to == DT_f32 || apart > 0, "%s: nothing was rounded", dtype_name(to));
    buf_free(&b);
    arena_free(a);
}

int main(void) {
    test_type(DT_f32, 1e-6);
    test_type(DT_bf16, 0x1p-6);
    test_type(DT_i8, 0.03);
    return check_done("weights");
}
