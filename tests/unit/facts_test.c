/* What steps say of themselves, for a fused program given as text, so that what fusion decides does
 * not enter: names, phases, lines with their shares, bytes and operations, each figure counted by
 * hand. */
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "tests/unit/check.h"

/* A user's program my.upm: line 4 looks rows up in w, line 5 is x + softmax(x), line 6 multiplies
 * by w and sums squares, line 8 minimizes. */
static const char program[] =
    "program built primitive whole_set fused\n"
    "call \"Table\" @ my.upm:4:1-4:9\n"                 /* 1 */
    "call \"softmax\" @ my.upm:5:5-5:9\n"               /* 2 */
    "call \"Linear\" @ my.upm:6:1-6:9\n"                /* 3 */
    "call \"mean\" @ models/std/nn.upm:6:1-6:9 via 3\n" /* 4 */
    "call \"minimize\" @ my.upm:8:1-8:9\n"              /* 5 */
    "call \"sgd\" @ my.upm:8:3-8:9 via 5\n"             /* 6 */
    "run {seed=0x0, precision=none, eval_every=0, save_every=0, log_every=0, keep=0, "
    "alternate=false, memory=0, micro=0}\n"
    "tensor param \"w\" : f32[16,8] {like=-1, fill=0x0p+0}\n"
    "tensor state \"seen\" : f32[16] {like=-1, fill=0x0p+0} @ my.upm:2:1-2:9\n"
    "entry train {name=\"train\", data=0, batch=4, steps=1, epochs=0}\n"
    "step graph \"train\" {\n"
    "  %0 = state {tensor=0} : f32[16,8]\n"
    "  %1 = field {name=\"ids\"} : i32[4*]\n"
    "  %2 = take %0, %1 {axis=0} : f32[4*,8] @ models/std/nn.upm:3:1-3:9 via 1\n"
    "  %3 = fused %2 graph \"body\" {\n"
    "    %0 = arg {n=0} : f32[4*,8]\n"
    "    %1 = max %0 {axes=[1]} : f32[4*,1] @ models/std/core.upm:20:1-20:9 via 2\n"
    "    %2 = sub %0, %1 : f32[4*,8] @ models/std/core.upm:20:1-20:9 via 2\n"
    "    %3 = exp %2 : f32[4*,8] @ models/std/core.upm:20:1-20:9 via 2\n"
    "    %4 = sum %3 {axes=[1]} : f32[4*,1] @ models/std/core.upm:21:1-21:9 via 2\n"
    "    %5 = mul %3, %4 : f32[4*,8] @ models/std/core.upm:21:1-21:9 via 2\n"
    "    %6 = add %0, %5 : f32[4*,8] @ my.upm:5:1-5:9\n"
    "    out value = %6\n"
    "  } : f32[4*,8] @ my.upm:5:1-5:9\n"
    "  %4 = dot %3, %0 {a=\"bk\", b=\"nk\", out=\"bn\"} : f32[4*,16] @ models/std/nn.upm:5:1-5:9 "
    "via 3\n"
    "  %5 = fused %4 graph \"body\" {\n"
    "    %0 = arg {n=0} : f32[4*,16]\n"
    "    %1 = mul %0, %0 : f32[4*,16] @ models/std/nn.upm:6:1-6:9 via 3\n"
    "    %2 = sum %1 {axes=[0,1]} : f32[1,1] @ models/std/core.upm:7:1-7:9 via 4\n"
    "    %3 = reshape %2 {dim=[]} : f32 @ models/std/core.upm:7:1-7:9 via 4\n"
    "    out value = %3\n"
    "  } : f32 @ models/std/core.upm:7:1-7:9 via 4\n"
    "  %6 = fused %4 graph \"body\" {\n"
    "    %0 = arg {n=0} : f32[4*,16]\n"
    "    %1 = const {value=0x1p+1} : f32\n"
    "    %2 = mul %0, %1 : f32[4*,16] @ my.upm:6:1-6:9\n"
    "    out value = %2\n"
    "  } : f32[4*,16] @ my.upm:6:1-6:9\n"
    "  %7 = dot %6, %3 {a=\"bn\", b=\"bk\", out=\"nk\"} : f32[16,8] @ models/std/nn.upm:5:1-5:9 "
    "via 3\n"
    "  %8 = fused %0, %7 graph \"body\" {\n"
    "    %0 = arg {n=0} : f32[16,8]\n"
    "    %1 = arg {n=1} : f32[16,8]\n"
    "    %2 = const {value=0x1p-3} : f32\n"
    "    %3 = mul %1, %2 : f32[16,8] @ models/std/optim.upm:9:1-9:9 via 6\n"
    "    %4 = sub %0, %3 : f32[16,8] @ models/std/optim.upm:9:1-9:9 via 6\n"
    "    out value = %4\n"
    "  } : f32[16,8] @ models/std/optim.upm:9:1-9:9 via 6\n"
    "  %9 = state {tensor=1} : f32[16]\n"
    "  %10 = fused %9 graph \"body\" {\n"
    "    %0 = arg {n=0} : f32[16]\n"
    "    %1 = add %0, %0 : f32[16] @ my.upm:9:1-9:9\n"
    "    out value = %1\n"
    "  } : f32[16] @ my.upm:9:1-9:9\n"
    "  out loss \"loss\" = %5\n"
    "  out state 0 = %8\n"
    "  out state 1 = %10 @ my.upm:9:8-9:9\n"
    "  out report \"old\" = %9\n"
    "}\n";

/* 4 rows of 8 are 128 bytes; exp counts 22. */
static const char expected[] =
    "forward Table: 272 bytes, 0 operations; nn.upm:3 100%\n" /* 4 (2 8 4 + 4) */
    "forward softmax: 256 bytes, 864 operations; core.upm:20 89% core.upm:21 7% my.upm:5 4%\n"
    "forward Linear: 896 bytes, 1024 operations; nn.upm:5 100%\n" /* 4 (32 + 128 + 64) */
    "forward Linear: 260 bytes, 128 operations; nn.upm:6 50% core.upm:7 50%\n"
    "backward mul: 512 bytes, 64 operations; my.upm:6 100%\n"
    "backward Linear: 896 bytes, 1024 operations; nn.upm:5 100%\n"
    "update sgd: 1536 bytes, 256 operations; optim.upm:9 100%\n"
    "other add: 128 bytes, 16 operations; my.upm:9 100%\n"
    "other copy of an old value: 128 bytes, 0 operations;\n"
    "other copy to 'seen': 128 bytes, 0 operations; my.upm:9 100%\n";

static const char *base_name(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path ? path : "";
}

static void put_step(Buf *b, const Diag *d, const RtStep *s) {
    static const char *const phase[RT_PHASES] = {"other", "forward", "backward", "update"};
    buf_printf(b, "%s %s: %.0f bytes, %.0f operations;", phase[s->phase], s->name, s->bytes,
               s->operations);
    for (int i = 0; i < s->nline; i++)
        buf_printf(b, " %s:%u %.0f%%", base_name(diag_path(d, s->line[i].at.file)),
                   s->line[i].at.line, 100 * s->line[i].share);
    buf_puts(b, "\n");
}

int main(void) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Err e = {0};
    Program *p = program_parse(a, d, "program", program, strlen(program));
    Codegen *c = codegen_new(&(CodegenOptions){.threads = 1}, &e);
    RtPlan *plan = p && c ? codegen_graph(c, a, p, p->entry[0].step, &e) : NULL;
    diag_print(d, stderr, false);
    Buf b = {0};
    for (int i = 0; plan && i < plan->nstep; i++) put_step(&b, d, &plan->step[i]);
    EXPECT(plan && b.data && str_eq(b.data, expected), "%s\n%s", e.msg,
           b.data ? b.data : "no plan");
    buf_free(&b);
    codegen_free(c);
    arena_free(a);
    return check_done("facts");
}
