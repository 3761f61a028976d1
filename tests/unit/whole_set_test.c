/* An eval over a million batches, compiled: sums, means and counts are exact to the last digits
 * that a report shows, though each batch is summed in f32 and i32. */
#include "tests/unit/program.h"

enum { BATCHES = 1000000, BATCH = 3, SEQ = 7, ID = 113 };

static const char source[] =
    "tokenizer tok = bytes()\n"
    "data text = lines(\"none\") | encode(tok) | pad(7)\n"
    "eval on text batch 3 {\n"
    "    x = cast(ids, f32) / 1000\n"
    "    report mean = mean(x), power = exp(-mean(x)), far = log(sum(x)) / 2, rows = "
    "sum(ones_like(x))\n"
    "    report ids = sum(ids), above = mean(cast(sum(ids) - 100, f32) - sum(x))\n"
    "}\n";

static void expect_report(const Native *n, const char *name, double want, double slack) {
    const RtPlan *plan = n->code->entry[0].logged;
    for (int i = 0; i < plan->nout; i++) {
        if (!str_eq(plan->out[i].name, name)) continue;
        double got = exec_scalar(n->x, plan, i);
        EXPECT(fabs(got - want) <= slack * fabs(want), "%s is %.17g, not %.17g", name, got, want);
        return;
    }
    EXPECT(false, "no report '%s'", name);
}

static void expect_reports(const Native *n) {
    double places = (double)BATCHES * BATCH * SEQ, mean = 0.113, sum = places * mean;
    expect_report(n, "mean", mean, 1e-7);
    expect_report(n, "power", exp(-mean), 1e-7);
    expect_report(n, "far", log(sum) / 2, 1e-7);
    expect_report(n, "rows", places, 0);
    expect_report(n, "ids", places * ID, 0);
    expect_report(n, "above", places * ID - 100 - sum, 1e-7);
}

static void accumulate(Native *n) {
    const RtEntry *entry = &n->code->entry[0];
    RtClock clock = {.live = BATCH};
    Err e = {0};
    int32_t *ids = (int32_t *)(void *)exec_fields(n->x, entry)[0];
    for (int i = 0; i < BATCH * SEQ; i++) ids[i] = ID;
    exec_reset(n->x, entry);
    bool ok = true;
    for (; ok && clock.step < BATCHES; clock.step++) ok = exec_plan(n->x, entry->step, &clock, &e);
    EXPECT(ok && exec_plan(n->x, entry->logged, &clock, &e), "%s", e.msg);
}

static void evaluate(Model *m, const Program *p) {
    Native n;
    if (native_open(&n, m, p, 1)) {
        accumulate(&n);
        expect_reports(&n);
    }
    native_close(&n);
}

int main(void) {
    Model m;
    if (model_open(&m, "test.upm", source, NULL, 0, NULL)) {
        evaluate(&m, model_fused(&m));
        evaluate(&m, model_plain(&m));
    }
    model_close(&m);
    return check_done("whole_set");
}
