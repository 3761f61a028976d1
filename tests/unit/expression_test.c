/* What expressions of the language compute: each is compiled inside an eval entry, interpreted in
 * f64 and compared with a value worked out by hand. ids is i32[2, 4] = [[0 1 2 3] [4 5 6 7]], x the
 * same as f32. */
#include "frontend/frontend.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

typedef struct Case {
    const char *expr;
    double value;
} Case;

/* clang-format off */
static const Case cases[] = {
    /* compile-time numbers */
    {"7 / 2", 3.5}, {"8 / 2", 4}, {"-7 // 2", -4}, {"-7 % 3", 2}, {"2^-1", 0.5}, {"-2^2", -4},
    {"2^3^2", 512},
    {"7.5 // 2", 3}, {"-7.5 % 2", 0.5}, {"10 % -3", -2}, {"(-9223372036854775807 - 1) % 3", 1},
    {"len([1, 2] + [3])", 3}, {"[5, 6, 7][-1]", 7}, {"sum([5, 6, 7][0:2])", 11},
    {"sum([5, 6, 7][::-1][0:1])", 7},
    {"max([3, 9, 2])", 9}, {"min(4, 3)", 3}, {"round(2.5)", 3}, {"ceil(2.1)", 3},
    {"floor(-2.5)", -3}, {"int(-2.5)", -2},
    {"sum(range(5))", 10}, {"sum(range(10, 0, -3))", 22}, {"sqrt(16)", 4}, {"abs(-3)", 3},
    {"sign(-3)", -1},
    {"pick(3 > 2 & !(1 == 2))", 1}, {"pick(false | dtype(x) == f32)", 1}, {"pick(None == None)", 1},
    {"pick([1, 2] == [1, 2])", 1}, {"pick(is_number(x))", 0}, {"rank(x)", 2}, {"x.dim(-1)", 4},
    /* elementwise, broadcasting by position */
    {"sum(x + 1)", 36}, {"sum(1 - x)", -20}, {"sum(x * x)", 140}, {"sum(x^2)", 140},
    {"sum(x^3)", 784}, {"sum(x^0)", 8},
    {"sum((x + 1)^-1)", 2.717857142857143}, {"sum((x^2)^0.5)", 28},
    {"sum((x + 1)^-0.5)", 4.371436038479889},
    {"sum(x^1.5)", 61.422117069102974}, {"sum(2^x)", 255}, {"sum(x / 2)", 14},
    {"sum(x // 2)", 12}, {"sum(ids // 2)", 12},
    {"sum(ids % 3)", 7}, {"sum(-ids)", -28}, {"sum(ids^2)", 140}, {"sum(x > 3)", 4},
    {"sum(x >= 3)", 5}, {"sum(3 < x)", 4},
    {"sum(x == 3 | x == 5)", 2}, {"sum(!(ids != 3))", 1}, {"sum(minimum(x, 3))", 18},
    {"sum(maximum(3, ids))", 34},
    {"sum(where(ids > 3, x, -1))", 18}, {"sum(where(x > 3, 1, 0))", 4},
    {"sum(round(x / 2))", 16}, {"sum(ceil(x / 2))", 16},
    {"sum(x * iota4)", 52}, {"sum(x[:, None, :] * x[:, :, None])", 520}, {"sum(sigmoid(0 * x))", 4},
    /* reductions and what they remember */
    {"sum(x over 1)[1]", 22}, {"sum(x over T)[0]", 6}, {"sum(max(x over -1))", 10},
    {"sum(min(x over 0))", 6},
    {"sum(x - sum(x over T))", -84}, {"sum(x * sum(x over 0))", 216},
    {"sum(x / (sum(x over T) * 2))", 1},
    {"sum(x - sum(x over T, keep = true))", -84}, {"sum(sum(x over T) - x)", 84},
    {"sum(ids > 2)", 5}, {"sum(any(ids > 5 over T))", 1}, {"sum(all(ids > 3 over T))", 1},
    {"argmax(x)", 7},
    {"sum(argmax(-x over T))", 0}, {"sum(argmax(x over 0))", 4}, {"mean(x)", 3.5},
    {"mean(ids > 5)", 0.25},
    {"sum(var(x over T))", 2.5}, {"sum(softmax(x over T))", 2},
    {"logsumexp(0 * x)", 2.0794415416798357},
    {"sum(sum(x over [0, 1]))", 28}, {"rank(sum(x over []))", 2},
    /* along an axis */
    {"sum(cumsum(x over T))", 60}, {"cumsum(x over T)[1, 2]", 15},
    {"cumsum(ids over 0)[1, 3]", 10}, {"cumsum(x > 2 over -1)[1, 3]", 4},
    {"cumsum(iota(100) over 0)[77]", 3003},
    {"sum(sort(-x over T)[0] * iota4)", -4}, {"sort(x[:, ::-1] over 1)[1, 2]", 6},
    {"sum(sort(-x over 0)[0] * iota4)", -38},
    {"sum((sort(jumble over 0) - jumble)^2)", 170700},
    {"all(sort(jumble over 0)[1:] >= sort(jumble over 0)[:-1])", 1},
    {"sum(sort(jumble over 0))", 4950},
    {"top_k(x, 2 over T)[0][1, 0]", 7}, {"top_k(x, 2 over T)[1][1, 1]", 2},
    {"top_k(-x, 3 over 1)[0][0, 2]", -2},
    {"sum(top_k(ids % 3, 2 over T)[1])", 4},
    {"top_k(x, 2 over B)[0][1, 3]", 3}, {"top_k(cube, 2 over 1)[1][1, 0, 0]", 1},
    {"sum(argsort(-x over T)[0] * ids[0])", 4}, {"argsort(ids % 3 over T)[1, 2]", 3},
    {"argsort(ids % 2 over T)[0, 1]", 2}, {"argsort(x[:, ::-1] over 0)[1, 0]", 1},
    {"sum((take(jumble, argsort(jumble over 0) over 0) - sort(jumble over 0))^2)", 0},
    {"cumsum(cube over 1)[1, 1, 0]", 10},
    /* indexing */
    {"sum(x[1])", 22}, {"x[1, -1]", 7}, {"sum(x[:, 0])", 4}, {"sum(x[..., 1:3])", 14},
    {"sum(x[:, ::2])", 12},
    {"x[::-1][0, 0]", 4}, {"x[:, ::-1][0, 0]", 3}, {"x[:, 3:0:-2][1, 1]", 5},
    {"sum(x[:, None, 0:-1])", 18},
    /* products and patterns */
    {"sum(x @ transpose(x))", 216}, {"(x @ transpose(x))[0, 1]", 38}, {"sum(x @ iota4)", 52},
    {"iota4 @ iota4", 14},
    {"sum(x[:, None] @ x[:, :, None])", 140}, {"sum(x[None] @ x[:, :, None])", 216},
    {"sum(einsum(x[b, t], x[c, t] -> [b, c]))", 216}, {"einsum(x[b, t], x[b, t] -> [])", 140},
    {"einsum(x[b, t], iota4[s] -> [b, t, s])[1, 2, 3]", 18},
    {"sum(einsum(x[b, t] -> [t]) * iota4)", 52},
    {"einsum(x[b, t] -> [t, b])[3, 1]", 7}, {"einsum(x[b, t], iota4[t], iota4[t] -> [b])[1]", 92},
    {"einsum(x[..., t], iota4[t] -> [...])[1]", 38},
    {"einsum(sq[i, i] -> [])", 15}, {"sum(einsum(sq[i, i] -> [i]) * iota4)", 32.5},
    {"einsum(ids[:, :2][i, i] -> [])", 5},
    {"einsum(cube[i, i, i] -> [i])[1]", 7}, {"einsum(cube[i, j, i] -> [j, i])[1, 0]", 2},
    {"einsum(cube[i, j, i] -> [i, j])[1, 0]", 5}, {"einsum(cube[j, i, i], x[:, :2][i, j] -> [])", 51},
    {"einsum(quad[i, j, i, j] -> [i, j])[1, 0]", 10}, {"einsum(quad[i, i, j, j] -> [])", 30},
    {"einsum(x[:1, :1][i, i] -> [])", 0}, {"einsum(sq[i, i], iota4[i] -> [])", 32.5},
    {"einsum(x[b, t], iota4[s] -> [b])[1]", 132}, {"einsum(x[b, t], iota4[s] -> [])", 168},
    {"einsum(x[b, t], sq[t, s], x[c, s] -> [b, c])[0, 1]", 564.5},
    {"einsum(iota4[i], iota4[j], iota4[k], iota4[l] -> [])", 1296},
    {"einsum(sq[i, j], sq[j, k], sq[k, i] -> [])", 2883.9375},
    {"einsum(cube[..., t], x[:, :2][..., t] -> [...])[1, 0]", 5},
    {"einsum(cube[..., t], iota4[:2][t] -> [...])[1, 0]", 5},
    {"sum(einsum(x[:, None][..., t], x[..., t] -> [...]))", 216},
    {"einsum(quad[i, ..., i] -> [...])[0, 1]", 13},
    {"rearrange(x[b, t] -> [(t b)])[3]", 5},
    {"rearrange(x[b, (h e)] -> [h, b, e], h = 2)[1, 0, 1]", 3},
    {"rearrange(x[b, t] -> [b, 1, t]).dim(1)", 1},
    {"rearrange(x[..., (h e)] -> [..., e, h], e = 2)[1, 0, 1]", 6},
    /* moving elements */
    {"sum(concat([x, x + 1] over 0)[2:])", 36}, {"sum(concat([x, x] over T)[0])", 12},
    {"sum(concat([x + 1, x[:-B]] over 0))", 36}, {"rank(concat([x[2:], x[1:], x[:0]] over 0))", 2},
    {"concat([x[2:], x[1:], x[:0]] over 0)[0, 0]", 4}, {"sum(concat([x[:, :0], x] over 1))", 28},
    {"stack([x, 2 * x] over 1)[1, 1, 0]", 8},
    {"sum(stack([1, 2, 3.5] over 0))", 6.5}, {"pad(x, 1, 2 over T)[1, 1]", 4},
    {"flip(x over T)[0, 0]", 3},
    {"roll(x, 1 over T)[0, 0]", 3}, {"roll(iota(4), -1)[3]", 0}, {"roll(iota4, 9)[1]", 0},
    {"transpose(x)[2, 1]", 6},
    {"take(x, 1 over 0)[2]", 6}, {"take(x, 2 over T)[1]", 6},
    {"sum(take(iota4, ids // 2 over 0))", 12},
    {"sum(take(x, iota(2)[:, None] over T))", 5}, {"put(x, 1, 9 over 0)[1, 3]", 9},
    {"sum(put(x, 1, iota4 over 0))", 12},
    {"sum(put_add(x, zeros_i32([3]), 1 over 0))", 40},
    {"at[1, 0]", 2}, {"at[0, 1]", 3}, {"sum(real)", 3},
    /* windows */
    {"sum(unfold(x, 2 over T))", 42}, {"unfold(x, 3, 2, 1 over T).dim(1)", 2},
    {"unfold(x, 3, 2, 1 over T)[1, 1, 2]", 7}, {"unfold(x, 2, dilation = 2 over T)[0, 1, 1]", 3},
    {"fold(unfold(x, 2 over T), 4 over 1)[1, 2]", 12},
    {"conv(x[..., None], full([2, 1, 3], 2))[1, 0, 2]", 18},
    {"conv(x[..., None], full([3, 1, 1], 1), 2, 1)[0, 1, 0]", 6},
    {"sum(conv(stack([x, x] over -1), full([1, 1, 4], 1), groups = 2))", 112},
    {"conv(stack([x, 3 * x] over -1), full([2, 1, 2], 1), groups = 2)[0, 2, 1]", 15},
    {"conv_transpose(x[..., None], full([3, 1, 1], 1), 2).dim(1)", 9},
    {"conv_transpose(x[..., None], full([3, 2, 1], 1), 2)[1, 2, 1]", 9},
    {"max_pool(x[..., None], 2)[0, 1, 0]", 3}, {"max_pool(-x[..., None], 3, 1, 1)[0, 0, 0]", 0},
    {"avg_pool(x[..., None], 2)[1, 1, 0]", 6.5},
    /* constants */
    {"sum(full([2, 3], 1.5))", 9}, {"sum(ones_like(ids))", 8}, {"sum(zeros_like(x))", 0},
    {"sum(cast(x > 3, i32))", 4},
    {"sum(full([3], x[1, 1]))", 15}, {"sum(eye(3))", 3}, {"sum(one_hot(ids, 8)[:, :, 7])", 1},
    /* random: in range, and equal where and only where the place is */
    {"all(uniform([B, T], 2, 3) >= 2)", 1}, {"all(randint([B, T], 3) < 3)", 1},
    {"sum(permutation(4))", 6},
    {"sum(bernoulli(1, [B, T]))", 8}, {"sum(bernoulli(0 * x))", 0},
    {"any(normal([B, T]) == normal([B, T]))", 0},
    /* scan: beside what they are by hand */
    {"sum(scan(zeros_like(x[:, 0]), x over T, add_up)[0])", 28},
    {"scan(zeros_like(x[:, 0]), x over T, add_up)[1][0, 2]", 3},
    {"scan(0, iota4 over 0, add_up)[1][3]", 6},
    {"sum(scan(0, (iota4, flip(iota4 over 0)) over 0, both)[1][1])", 6},
    {"scan((1, 2), iota4 over 0, swap)[0][1]", 2},
    {"rank(scan(x[:, 0], x over T, add_up)[1])", 2},
    {"scan(1, iota4 + 1 over 0, times)[0]", 24},
    {"sum(abs(scan(zeros_like(x[:, 0]), x over T, add_up)[1] - cumsum(x over T)))", 0},
    /* calls of functions */
    {"twice(tanh)(0 * x)[0, 0]", 0}, {"sum(total(x over T))", 28},
    {"still(twice)(exp)(0 * x)[0, 0]", 2.718281828459045},
};
/* clang-format on */
enum { CASES = sizeof cases / sizeof *cases };

static const char prelude[] =
    "tokenizer tok = bytes()\n"
    "const T = 4\n"
    "data text = lines(\"none\") | encode(tok) | pad(T)\n"
    "fn pick(c) { if c { return 1 } else { return 0 } }\n"
    "fn twice(f) = fn (x) { return f(f(x)) }\n"
    "fn total(x over axes) = sum(x over axes)\n"
    "fn add_up(sum, x) = (sum + x, sum + x)\n"
    "fn times(p, x) = (p * x, None)\n"
    "fn both(c, x) { (a, b) = x; return (c + a, (a, b)) }\n"
    "fn swap(c, x) { (a, b) = c; return ((b, a), None) }\n"
    "eval on text batch 2 {\n"
    "    x = cast(ids, f32)\n"
    "    iota4 = cast(iota(4), f32)\n"
    "    sq = iota4[:, None] + iota4 + cast(eye(4), f32) * 0.75\n"
    "    cube = rearrange(cast(iota(8), f32)[(a b c)] -> [a, b, c], "
    "a = 2, b = 2)\n"
    "    quad = rearrange(cast(iota(16), f32)[(a b c d)] -> [a, b, c, d], "
    "a = 2, b = 2, c = 2)\n"
    "    jumble = (iota(100) * 37 + 11) % 100\n"
    "    (at, real) = compact(ids % 3 == 0, 2 over T)\n";

static const char *core_text(void *cx, const char *name, size_t *n, const char **path) {
    Err e = {0};
    char *text;
    *path = arena_printf(cx, "models/std/%s.upm", name);
    return file_read(cx, *path, &text, n, &e) ? text : NULL;
}

static bool tokenizer(void *cx, TokenizerSpec *spec, TokenizerInfo *info, Err *e) {
    (void)cx, (void)spec, (void)e;
    *info = (TokenizerInfo){.size = 260, .pad = 0, .unk = -1, .cls = -1, .sep = -1, .mask = 1};
    return true;
}

static Array *evaluate(Arena *a, const Program *p, const Graph *g) {
    static const char *const names[] = {"ids"};
    double *ids = NEW_N(a, double, 8);
    Array field = {.type = type_make(DT_i32, 2, (int64_t[]){2, 4}), .at = ids};
    EvalCx cx = {.arena = a,
                 .program = p,
                 .f64 = true,
                 .field_name = names,
                 .field = &field,
                 .nfield = 1,
                 .seed = 1,
                 .live = -1};
    Err e = {0};
    field.type.batch_axis = 0;
    for (int i = 0; i < 8; i++) ids[i] = i;
    Array *out = graph_eval(g, &cx, &e);
    EXPECT(out, "%s", e.msg);
    return out;
}

static void check_case(Arena *a, const Case *c) {
    Diag *d = diag_new(a);
    FrontendHost host = {.cx = a, .module = core_text, .tokenizer = tokenizer};
    const char *text = arena_printf(a, "%s    report value = cast(%s, f32)\n}\n", prelude, c->expr);
    Program *p = frontend_compile(a, d, c->expr, text, strlen(text), &host, NULL, 0);
    EXPECT(p && p->nentry == 1, "%s does not compile", c->expr);
    if (!p) {
        diag_print(d, stdout, false);
        return;
    }
    const Graph *g = p->entry[0].step;
    Array *out = evaluate(a, p, g);
    for (size_t i = 0; out && i < g->nout; i++)
        if (g->out[i].kind == OUT_report)
            EXPECT(fabs(out[i].at[0] - c->value) < 1e-6, "%s is %.17g, not %.17g", c->expr,
                   out[i].at[0], c->value);
}

int main(void) {
    for (int i = 0; i < CASES; i++) {
        Arena *a = arena_new();
        check_case(a, &cases[i]);
        arena_free(a);
    }
    return check_done("expression");
}
