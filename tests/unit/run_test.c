/* Runs, with plans made by hand and kernels in C: training, resuming after an interruption and
 * after kill -9 (same bytes as the run that was never stopped), 1 and 2 threads, losses that are no
 * number, faults, what changed while a run stood still, made-up positions, declared loads,
 * evaluation. */
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"
#include "tests/unit/check.h"

enum { N = 4096, SEQ = 8, BATCH = 4, STEPS = 40 };

/* ---- what goes wrong, and when; constants of the kernel's call, as places are */
enum { NOTHING, INTERRUPT, KILL, NOT_A_NUMBER, FAULT, REMOVE };
static const char *text_file; /* what REMOVE removes */

static void fault(const RtCall *c) {
    c->fault->index = 300;
    c->fault->limit = 256;
    atomic_store(&c->fault->set, 1 + c->number);
}

/* w[N], m[N], ids[BATCH,SEQ] -> w, m; an optimiser of sorts whose every bit depends on all that
 * resume must restore. */
static void train_kernel(const RtCall *c, int64_t first, int64_t last) {
    float *w = (float *)(void *)c->buf[0], *m = (float *)(void *)c->buf[1];
    const int32_t *ids = (const int32_t *)(const void *)c->buf[2];
    uint64_t key = random_key(c->clock->seed, 77);
    for (int64_t i = first; i < last; i++) {
        float g =
            (float)ids[i % (BATCH * SEQ)] / 256 + random_uniform(key, c->clock->step, (uint64_t)i);
        m[i] = 0.9f * m[i] + g;
        w[i] -= 0.01f * m[i] * (1 - c->clock->stepf / c->clock->stepsf);
    }
}

static void loss_kernel(const RtCall *c, int64_t first, int64_t last) {
    (void)first, (void)last;
    const float *w = (const float *)(const void *)c->buf[0];
    float sum = 0;
    for (int i = 0; i < N; i++) sum += w[i] * w[i];
    *(float *)(void *)c->buf[1] = sum / N;
    if (c->clock->step != c->word[1]) return;
    switch (c->word[0]) {
    case INTERRUPT: raise(SIGINT); break;
    case KILL: raise(SIGKILL); break;
    case NOT_A_NUMBER: *(float *)(void *)c->buf[1] = NAN; break;
    case FAULT: fault(c); break;
    case REMOVE: unlink(text_file); break;
    }
}

static void init_kernel(const RtCall *c, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
        ((float *)(void *)c->buf[0])[i] =
            random_uniform(random_key(c->clock->seed, 3), 0, (uint64_t)i);
        ((float *)(void *)c->buf[1])[i] = 0;
    }
}

static void count_kernel(const RtCall *c, int64_t first, int64_t last) {
    (void)first, (void)last;
    *(float *)(void *)c->buf[0] += (float)c->clock->live;
    if (c->word[0] == FAULT) fault(c);
}

/* ---- a program around them */
typedef struct Fixture {
    RtProgram p;
    RtTensor tensor[4];
    RtEntry entry[3];
    Field ids;
    DataSpec data[3];
    TokenizerSpec tok_spec;
    Tokenizer *tok[1];
    SpecArg arg[3];
    RtBuffer buffer[8];
    uint64_t word[2], eval_word[1];
    RtStep step[2], init_step, count_step;
    int32_t index[16];
    int64_t size[1];
    int acc;
    RtPlan init, quiet, logged, count, result, quiet2, logged2;
    RtOutput out[3];
    RtOutput count_out;
    char folder[64], text[96];
    FILE *null;
} Fixture;

static RtTensor tensor(const char *name, int kind, int64_t n, int like) {
    return (RtTensor){.name = name,
                      .kind = kind,
                      .dtype = DT_f32,
                      .rank = 1,
                      .dim = {n},
                      .bytes = 4 * n,
                      .like = like};
}

static void make_data(Fixture *f) {
    f->tok_spec = (TokenizerSpec){.name = "tok", .kind = "bytes", .path = "", .from = ""};
    f->arg[0] = (SpecArg){.name = "files", .kind = ARG_str, .s = f->text};
    f->arg[1] = (SpecArg){.name = "tok", .kind = ARG_tokenizer, .i = 0};
    f->arg[2] = (SpecArg){.name = "seq", .kind = ARG_int, .i = SEQ, .f = SEQ};
    const char *stage[] = {"documents", "encode", "pack"};
    for (int i = 0; i < 3; i++)
        f->data[i] = (DataSpec){.stage = stage[i], .input = i - 1, .arg = &f->arg[i], .narg = 1};
    f->ids = (Field){.name = "ids", .dtype = DT_i32, .rank = 1, .dim = {SEQ}};
    f->data[2].field = &f->ids;
    f->data[2].nfield = 1;
    f->p.spec = (Spec){.tokenizer = &f->tok_spec, .ntokenizer = 1, .data = f->data, .ndata = 3};
    f->p.spec.run.seed = 5;
    Err e = {0};
    f->tok[0] = tokenizer_open(&f->tok_spec, NULL, &e);
    EXPECT(f->tok[0], "%s", e.msg);
}

static RtStep kernel_step(RtKernel *k, int32_t *buf, int nbuf, int64_t tasks, const char *label) {
    return (RtStep){.kind = RT_KERNEL,
                    .kernel = k,
                    .buf = buf,
                    .nbuf = nbuf,
                    .tasks = tasks,
                    .cost = 64,
                    .label = label};
}

static void make_plans(Fixture *f) {
    f->buffer[0] = (RtBuffer){.where = RT_TENSOR, .index = 0, .bytes = 4 * N};
    f->buffer[1] = (RtBuffer){.where = RT_TENSOR, .index = 1, .bytes = 4 * N};
    f->buffer[2] = (RtBuffer){.where = RT_FIELD, .index = 0, .bytes = 4 * BATCH * SEQ};
    f->buffer[3] = (RtBuffer){.where = RT_ARENA, .offset = 64, .bytes = 4};
    f->buffer[4] = (RtBuffer){.where = RT_TENSOR, .index = 2, .bytes = 4};
    int32_t index[] = {0, 1, 2, 0, 3, 4};
    memcpy(f->index, index, sizeof index);
    f->step[0] = kernel_step(train_kernel, f->index, 3, N, "test.upm:1:1 train");
    f->step[1] = kernel_step(loss_kernel, f->index + 3, 2, 1, "test.upm:2:2 take");
    f->step[1].word = f->word;
    f->step[1].nword = 2;
    f->init_step = kernel_step(init_kernel, f->index, 2, N, "init");
    f->count_step = kernel_step(count_kernel, f->index + 5, 1, 1, "count");
    f->count_step.word = f->eval_word;
    f->count_step.nword = 1;
    f->out[0] =
        (RtOutput){.kind = RT_OUT_loss, .name = "loss", .buffer = 3, .dtype = DT_f32, .count = 1};
    f->out[1] =
        (RtOutput){.kind = RT_OUT_report, .name = "size", .buffer = 3, .dtype = DT_f32, .count = 1};
    f->out[2] = (RtOutput){.kind = RT_OUT_text,
                           .name = "text",
                           .buffer = 2,
                           .dtype = DT_i32,
                           .count = BATCH * SEQ,
                           .width = SEQ};
    f->count_out = (RtOutput){
        .kind = RT_OUT_report, .name = "count", .buffer = 4, .dtype = DT_f32, .count = 1};
    RtPlan common = {.buffer = f->buffer, .nbuffer = 5, .arena_bytes = 128};
    f->quiet = f->init = f->count = common;
    f->quiet.name = "train", f->quiet.step = f->step, f->quiet.nstep = 2, f->quiet.out = f->out,
    f->quiet.nout = 1;
    f->logged = f->quiet;
    f->logged.nout = 3;
    f->init.name = "init", f->init.nbuffer = 2, f->init.step = &f->init_step, f->init.nstep = 1;
    f->count.name = "eval", f->count.step = &f->count_step, f->count.nstep = 1;
    f->result = f->count;
    f->result.nstep = 0, f->result.out = &f->count_out, f->result.nout = 1;
}

static void make_program(Fixture *f) {
    make_data(f);
    make_plans(f);
    f->tensor[0] = tensor("net.weight", RT_TENSOR_param, N, -1);
    f->tensor[1] = tensor("net.weight/m", RT_TENSOR_optim, N, -1);
    f->tensor[2] = tensor("count", RT_TENSOR_acc, 1, -1);
    f->tensor[3] = tensor("copy.weight", RT_TENSOR_param, N, 0);
    RtEntry entry = {.name = "train",
                     .kind = RT_ENTRY_train,
                     .graph = 11,
                     .data = 2,
                     .batch = BATCH,
                     .steps = STEPS,
                     .field = &f->ids,
                     .nfield = 1,
                     .step = &f->quiet,
                     .logged = &f->logged};
    f->entry[0] = entry;
    f->entry[1] = (RtEntry){.name = "eval",
                            .kind = RT_ENTRY_eval,
                            .data = 2,
                            .batch = BATCH,
                            .field = &f->ids,
                            .nfield = 1,
                            .step = &f->count,
                            .logged = &f->result,
                            .acc = &f->acc,
                            .nacc = 1};
    f->acc = 2;
    f->p.name = "test", f->p.tensor = f->tensor, f->p.ntensor = 4, f->p.init = &f->init;
    f->p.entry = f->entry, f->p.nentry = 2;
}

/* 37 records: nine whole batches and one of a single record. */
static void write_text(const Fixture *f, char last) {
    FILE *t = fopen(f->text, "w");
    for (int i = 1; i < 37 * SEQ; i++) fputc('a' + ((i - 1) * (i - 1) / 7) % 26, t);
    fprintf(t, "%c\n", last);
    fclose(t);
}

static void make_text(Fixture *f) {
    strcpy(f->folder, "/tmp/upt-run-XXXXXX");
    EXPECT(mkdtemp(f->folder), "%s", f->folder);
    snprintf(f->text, sizeof f->text, "%s/text.txt", f->folder);
    text_file = f->text;
    write_text(f, 'z');
}

static RunOptions options(Fixture *f, const char *dir, char *path, size_t n) {
    snprintf(path, n, "%s/%s", f->folder, dir);
    return (RunOptions){.dir = path,
                        .steps = -1,
                        .threads = 2,
                        .save_every = 7,
                        .log_every = 5,
                        .eval_every = 20,
                        .quiet = true,
                        .out = f->null};
}

static int train(Fixture *f, const char *dir, int threads, int what, uint64_t when, Err *e) {
    char path[256];
    RunOptions o = options(f, dir, path, sizeof path);
    o.threads = threads;
    f->word[0] = (uint64_t)what;
    f->word[1] = when;
    return run_train(&f->p, f->tok, &o, e);
}

/* ---- looking at results */
static char *slurp(const Fixture *f, const char *dir, const char *name, size_t *n) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", f->folder, dir, name);
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 18);
    *n = file ? fread(text, 1, (1 << 18) - 1, file) : 0;
    if (file) fclose(file);
    return text;
}

static void expect_same(const Fixture *f, const char *a, const char *b) {
    size_t n, m;
    char *x = slurp(f, a, "last.safetensors", &n), *y = slurp(f, b, "last.safetensors", &m);
    EXPECT(n > 4 * N && n == m && !memcmp(x, y, n), "checkpoints of '%s' and '%s' differ", a, b);
    free(x);
    free(y);
}

/* The file without its rates, which are measured. */
static char *metrics(const Fixture *f, const char *dir) {
    size_t n;
    char *text = slurp(f, dir, "metrics.jsonl", &n), *to = text;
    for (char *at = text; *at;) {
        if (str_starts(at, ",\"tokens_per_second\":")) at = strchr(at, '}');
        *to++ = *at++;
    }
    *to = 0;
    return text;
}

static void expect_same_metrics(const Fixture *f, const char *a, const char *b) {
    char *x = metrics(f, a), *y = metrics(f, b);
    EXPECT(strstr(x, "\"step\":40,") && strcmp(x, y) == 0,
           "metrics of '%s' and '%s' differ:\n%s\n%s", a, b, x, y);
    free(x);
    free(y);
}

/* ---- tests */
static void test_plain(Fixture *f) {
    Err e = {0};
    EXPECT(train(f, "plain", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    EXPECT(train(f, "single", 1, NOTHING, 0, &e) == 0, "%s", e.msg);
    expect_same(f, "plain", "single");
    expect_same_metrics(f, "plain", "single");
    EXPECT(train(f, "plain", 2, KILL, STEPS - 1, &e) == 0, "a finished run runs again: %s", e.msg);
    char *m = metrics(f, "plain");
    EXPECT(str_starts(m, "{\"step\":1,\"size\":"), "%s", m);
    EXPECT(strstr(m, "\n{\"step\":20,\"eval.count\":37"), "no evaluation of 37 records: %s", m);
    EXPECT(strstr(m, "\"text\":[\"aaabcdfh\""), "no text: %s", m);
    free(m);
}

static void test_interrupt(Fixture *f) {
    Err e = {0};
    int rc = train(f, "stopped", 2, INTERRUPT, 17, &e);
    EXPECT(rc == 130, "stopped with %d: %s", rc, e.msg);
    rc = train(f, "stopped", 1, INTERRUPT, 24, &e);
    EXPECT(rc == 130, "stopped with %d: %s", rc, e.msg);
    EXPECT(train(f, "stopped", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    expect_same(f, "plain", "stopped");
    expect_same_metrics(f, "plain", "stopped");
}

static void test_kill(Fixture *f) {
    int when[] = {2, 6, 7, 19, 30, 39}; /* the first before anything was saved */
    for (size_t i = 0; i < sizeof when / sizeof *when; i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            Err e = {0};
            train(f, "killed", 2, KILL, (uint64_t)when[i], &e);
            _exit(3);
        }
        int status = 0;
        waitpid(child, &status, 0);
        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "run %zu was not killed: %x", i,
               (unsigned)status);
    }
    Err e = {0};
    EXPECT(train(f, "killed", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    expect_same(f, "plain", "killed");
    expect_same_metrics(f, "plain", "killed");
}

/* Goes on to step `steps` (-1: as the program says) and gives what it printed. */
static char *go_on(Fixture *f, const char *dir, int64_t steps, int want, Err *e) {
    char path[256], *text = NULL;
    size_t n = 0;
    RunOptions o = options(f, dir, path, sizeof path);
    o.out = open_memstream(&text, &n);
    o.quiet = false, o.steps = steps;
    f->word[0] = NOTHING;
    int rc = run_train(&f->p, f->tok, &o, e);
    fclose(o.out);
    EXPECT(rc == want, "%s ends with %d: %s\n%s", dir, rc, e->msg, text);
    return text;
}

/* Killed between a checkpoint and its publication (`last` is the one before, or absent), with lines
 * of metrics that belong to no checkpoint yet and half of one: what lies about is as after kill -9
 * at the worst moment. */
static void test_torn(Fixture *f, const char *dir, bool last) {
    char command[1024];
    snprintf(command, sizeof command,
             "cd '%s' && mkdir %s && cp plain/metrics.jsonl %s && cd %s && "
             "cp ../plain/step-35.safetensors %s.safetensors && "
             "head -c 100 ../plain/step-40.safetensors >step-42.safetensors.tmp77 && "
             "cp ../plain/step-40.safetensors last.safetensors.tmp && "
             "printf '{\"step\":41,\"si' >>metrics.jsonl",
             f->folder, dir, dir, dir, last ? "last" : "step-35");
    EXPECT(system(command) == 0, "%s", command);
    Err e = {0};
    char *text = go_on(f, dir, -1, 0, &e);
    EXPECT(strstr(text, "going on from step 35"), "%s", text);
    free(text);
    expect_same(f, "plain", dir);
    expect_same_metrics(f, "plain", dir);
    snprintf(command, sizeof command, "ls '%s'/%s/*.tmp* 2>/dev/null", f->folder, dir);
    EXPECT(system(command) != 0, "something was left aside");
}

static void test_not_a_number(Fixture *f) {
    Err e = {0};
    EXPECT(train(f, "nan", 2, NOT_A_NUMBER, 16, &e) == 1, "a loss that is no number goes on");
    EXPECT(strstr(e.msg, "'loss' became not a number at step 17") && strstr(e.msg, "of step 14"),
           "%s", e.msg);
    EXPECT(train(f, "nan", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    expect_same(f, "plain", "nan");
    EXPECT(train(f, "fault", 2, FAULT, 3, &e) == 1, "a fault goes on");
    EXPECT(strstr(e.msg, "step 4: test.upm:2:2 take: index 300 is out of range, 0 to 255"), "%s",
           e.msg);
    EXPECT(strstr(e.msg, "no checkpoint yet"), "%s", e.msg);
}

static void test_misfit(Fixture *f) {
    Err e = {0};
    char path[256];
    RunOptions o = options(f, "plain", path, sizeof path);
    o.has_seed = true, o.seed = 6;
    EXPECT(run_train(&f->p, f->tok, &o, &e) == 1 && strstr(e.msg, "started with seed 5, not 6"),
           "%s", e.msg);
    f->tensor[0].name = "net.other";
    EXPECT(train(f, "plain", 2, NOTHING, 0, &e) == 1 && strstr(e.msg, "no tensor 'net.other'"),
           "%s", e.msg);
    f->tensor[0].name = "net.weight";
    f->tensor[2].kind = RT_TENSOR_param;
    EXPECT(train(f, "plain", 2, NOTHING, 0, &e) == 1 && strstr(e.msg, "no tensor 'count'"), "%s",
           e.msg);
    f->tensor[2].kind = RT_TENSOR_acc;
    f->tensor[0].rank = 2, f->tensor[0].dim[0] = N / 2, f->tensor[0].dim[1] = 2;
    EXPECT(train(f, "plain", 2, NOTHING, 0, &e) == 1 &&
               strstr(e.msg, "f32[4096] there and 'net.weight' is f32[2048,2] here"),
           "%s", e.msg);
    f->tensor[0] = tensor("net.weight", RT_TENSOR_param, N, -1);
}

static void expect_note(Fixture *f, const char *dir, int64_t steps, const char *note) {
    Err e = {0};
    char *text = go_on(f, dir, steps, 0, &e);
    EXPECT(note ? strstr(text, note) != NULL : !strstr(text, "changed since"), "no '%s' in:\n%s",
           note, text);
    free(text);
}

/* What changed while a run stood still is said once; other text is refused until it is put back. */
static void test_changes(Fixture *f) {
    Err e = {0};
    EXPECT(train(f, "changed", 2, INTERRUPT, 17, &e) == 130, "%s", e.msg);
    write_text(f, 'y');
    free(go_on(f, "changed", -1, 1, &e));
    EXPECT(strstr(e.msg, f->text) && strstr(e.msg, "'train'") && strstr(e.msg, "for 18 steps") &&
               strstr(e.msg, "put it back") && strstr(e.msg, "--dir"),
           "%s", e.msg);
    write_text(f, 'z');
    expect_note(f, "changed", 20, "changed since then: the steps of 'train' (20, before 40);");
    f->entry[0].graph = 12;
    f->p.spec.run.alternate = true; /* of one entry: no difference */
    expect_note(
        f, "changed", 22,
        "changed since then: what 'train' computes (model, loss, optimiser, rates or batch), the "
        "steps of 'train' (22, before 20); the run goes on as it is now\n");
    expect_note(f, "changed", 22, NULL);
    f->entry[0].graph = 11;
    f->p.spec.run.alternate = false;
    write_text(f, 'y');
    expect_note(f, "changed", 22, NULL); /* all done: the text is not read any more */
    write_text(f, 'z');
}

/* Text that goes away while a run goes on: it was read when the run began. */
static void test_removed(Fixture *f) {
    Err e = {0};
    EXPECT(train(f, "removed", 2, REMOVE, 17, &e) == 0, "%s", e.msg);
    write_text(f, 'z');
    expect_same(f, "plain", "removed");
    expect_same_metrics(f, "plain", "removed");
}

static void test_failed_evaluation(Fixture *f) {
    Err e = {0};
    f->eval_word[0] = FAULT;
    EXPECT(train(f, "unevaluated", 2, NOTHING, 0, &e) == 1 && strstr(e.msg, "step 20 is saved"),
           "%s", e.msg);
    EXPECT(train(f, "unevaluated", 2, NOTHING, 0, &e) == 1 && strstr(e.msg, "out of range"),
           "the evaluation that failed is left out: %s", e.msg);
    f->eval_word[0] = NOTHING;
    EXPECT(train(f, "unevaluated", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    expect_same(f, "plain", "unevaluated");
    expect_same_metrics(f, "plain", "unevaluated");
}

/* ---- made-up positions */

/* The run `from` under another name, its metadata `key` being `value` (NULL: absent). */
static void make_up(const Fixture *f, const char *from, const char *to, const MapEntry *with,
                    int nwith) {
    char path[300];
    Err e = {0};
    Checkpoint c;
    snprintf(path, sizeof path, "%s/%s/last.safetensors", f->folder, from);
    EXPECT(checkpoint_open(path, &c, &e), "%s", e.msg);
    for (int i = 0; i < c.ntensor; i++) {
        void *data = arena_alloc(c.arena, (size_t)c.tensor[i].bytes);
        EXPECT(checkpoint_read(&c, &c.tensor[i], data, &e), "%s", e.msg);
        c.tensor[i].data = data;
    }
    MapEntry meta[32];
    int n = 0;
    for (int i = 0; i < c.nmeta; i++) {
        meta[n++] = c.meta[i];
        for (int k = 0; k < nwith; k++)
            if (str_eq(with[k].key, c.meta[i].key)) meta[n - 1] = with[k];
        n -= !meta[n - 1].value;
    }
    snprintf(path, sizeof path, "%s/%s", f->folder, to);
    RunDir d;
    EXPECT(rundir_open(&d, path, &e), "%s", e.msg);
    EXPECT(checkpoint_write(d.last, c.tensor, c.ntensor, meta, n, &e), "%s", e.msg);
    rundir_close(&d);
    checkpoint_close(&c);
}

static void test_positions(Fixture *f) {
    static const struct {
        char *step, *position, *seed;
        const char *says; /* NULL: the run is over */
    } made[] = {
        {"-1", "-1", "5", "no valid step or seed"},
        {"9223372036854775807", "9223372036854775807", "5", "no valid step or seed"},
        {"99999999999999999999", "40", "5", "no valid step or seed"},
        {"40", "40", "-5", "no valid step or seed"},
        {NULL, "40", "5", "no valid step or seed"},
        {"40.5", "40", "5", "no valid step or seed"},
        {"40", "9223372036854775807", "5", "no valid 'position.train'"},
        {"40", "4e1", "5", "no valid 'position.train'"},
        {"40", "", "5", "no valid 'position.train'"},
        {"40", NULL, "5", "no valid 'position.train'"},
        {"40", "39", "5", "is of step 40, but the entries of the program have done 39"},
        {"9007199254740992", "9007199254740992", "5", NULL},
        {"41", "41", "5", NULL},
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        MapEntry with[] = {
            {"step", made[i].step}, {"position.train", made[i].position}, {"seed", made[i].seed}};
        Err e = {0};
        make_up(f, "plain", "made", with, 3);
        char *text = go_on(f, "made", -1, made[i].says ? 1 : 0, &e);
        EXPECT(made[i].says ? strstr(e.msg, made[i].says) && strstr(e.msg, "--dir") &&
                                  strstr(e.msg, "made/last.safetensors")
                            : strstr(text, "has done all its") != NULL,
               "%zu: %s\n%s", i, e.msg, text);
        free(text);
    }
}

static void test_load(Fixture *f) {
    char file[256], path[256];
    snprintf(file, sizeof file, "%s/plain/last.safetensors", f->folder);
    const char *part[] = {"net"}, *from[] = {"old"}, *to[] = {"net"};
    LoadSpec l = {.file = file, .part = part, .npart = 1};
    f->p.spec.load = &l;
    f->p.spec.nload = 1;
    RunOptions o = options(f, "loaded", path, sizeof path);
    Err e = {0};
    Checkpoint c;
    EXPECT(checkpoint_open(file, &c, &e), "%s", e.msg);
    o.steps = 1;
    f->word[0] = NOTHING;
    EXPECT(run_train(&f->p, f->tok, &o, &e) == 0, "%s", e.msg);
    char mine[300];
    snprintf(mine, sizeof mine, "%s/last.safetensors", path);
    Checkpoint got;
    EXPECT(checkpoint_open(mine, &got, &e), "%s", e.msg);
    static float ours[N], theirs[N];
    EXPECT(checkpoint_read(&got, checkpoint_find(&got, "copy.weight"), ours, &e) &&
               checkpoint_read(&c, checkpoint_find(&c, "net.weight"), theirs, &e),
           "%s", e.msg);
    EXPECT(!memcmp(ours, theirs, sizeof ours), "the clone did not start as what was loaded");
    checkpoint_close(&got);
    checkpoint_close(&c);
    l.from = from, l.to = to, l.nrename = 1;
    o.dir = f->folder;
    EXPECT(run_train(&f->p, f->tok, &o, &e) == 1 && strstr(e.msg, "has nothing of 'net'"), "%s",
           e.msg);
    f->p.spec.nload = 0;
}

static void test_eval(Fixture *f) {
    char path[256], *text = NULL;
    size_t n = 0;
    RunOptions o = options(f, "plain", path, sizeof path);
    o.out = open_memstream(&text, &n);
    Err e = {0};
    EXPECT(run_eval(&f->p, f->tok, &o, NULL, &e) == 0, "%s", e.msg);
    o.json = true;
    EXPECT(run_eval(&f->p, f->tok, &o, NULL, &e) == 0, "%s", e.msg);
    fclose(o.out);
    const char *want = "step   40\ncount  37\n{\"step\":40,\"count\":37.0}\n";
    EXPECT(text && strcmp(text, want) == 0, "%s", text);
    free(text);
    EXPECT(run_eval(&f->p, f->tok, &o, "/no/such", &e) == 1 && strstr(e.msg, "/no/such"), "%s",
           e.msg);
}

/* The lines a person gets in a pipe; the rate and the time left differ from run to run. */
static void test_progress(Fixture *f) {
    char path[256], *text = NULL;
    size_t n = 0;
    RunOptions o = options(f, "shown", path, sizeof path);
    o.out = open_memstream(&text, &n);
    o.quiet = false, o.steps = 10;
    f->word[0] = NOTHING;
    Err e = {0};
    EXPECT(run_train(&f->p, f->tok, &o, &e) == 0, "%s", e.msg);
    o.steps = 20;
    EXPECT(run_train(&f->p, f->tok, &o, &e) == 0, "%s", e.msg);
    fclose(o.out);
    const char *part[] = {"step 1/10  size 0.",
                          "  loss 0.",
                          " tokens/s",
                          "  text  aaabcdfh\n",
                          "step 5/10 ",
                          "step 10/10  eval.count 37.0000\n",
                          "going on from step 10 of '",
                          "step 15/20 ",
                          " s left\n",
                          "step 20/20  eval.count 37.0000\n"};
    const char *at = text;
    for (size_t i = 0; at && i < sizeof part / sizeof *part; i++) {
        const char *found = strstr(at, part[i]);
        EXPECT(found, "no '%s' in:\n%s", part[i], at);
        at = found;
    }
    EXPECT(!strchr(text, '\033') && !strchr(text, '\r'), "a pipe got a terminal's codes");
    free(text);
}

static void test_entries(Fixture *f) {
    Err e = {0};
    f->entry[2] = f->entry[0];
    f->entry[2].name = "train.2";
    f->quiet2 = f->quiet, f->logged2 = f->logged; /* a plan is of one entry, whose batch it reads */
    f->entry[2].step = &f->quiet2, f->entry[2].logged = &f->logged2;
    f->entry[0].steps = 0, f->entry[0].epochs = 2; /* 9 batches each */
    f->entry[2].steps = 5;
    f->p.nentry = 3;
    EXPECT(train(f, "follow", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    char *m = metrics(f, "follow");
    const char *order[] = {"{\"step\":1,\"entry\":\"train\"", "{\"step\":18,\"entry\":\"train\"",
                           "{\"step\":19,\"entry\":\"train.2\"",
                           "{\"step\":23,\"entry\":\"train.2\"", "{\"step\":23,\"eval.count\""};
    const char *at = m;
    for (size_t i = 0; at && i < sizeof order / sizeof *order; i++) {
        at = strstr(at, order[i]);
        EXPECT(at, "no %s in its place: %s", order[i], m);
    }
    free(m);
    f->p.spec.run.alternate = true;
    EXPECT(train(f, "turns", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    m = metrics(f, "turns");
    EXPECT(strstr(m, "{\"step\":2,\"entry\":\"train.2\"") &&
               strstr(m, "{\"step\":10,\"entry\":\"train.2\""),
           "no turns: %s", m);
    free(m);
    EXPECT(train(f, "turns.stopped", 2, INTERRUPT, 3, &e) == 130, "%s", e.msg);
    EXPECT(train(f, "turns.stopped", 2, NOTHING, 0, &e) == 0, "%s", e.msg);
    expect_same(f, "turns", "turns.stopped");
    f->entry[0].batch = 64;
    EXPECT(train(f, "few", 2, NOTHING, 0, &e) == 1 && *e.msg, "a batch larger than the data: %s",
           e.msg);
    EXPECT(strstr(e.msg, "37") && strstr(e.msg, "64"), "%s", e.msg);
}

int main(void) {
    Fixture f = {.null = fopen("/dev/null", "w")};
    make_text(&f);
    make_program(&f);
    test_plain(&f);
    test_interrupt(&f);
    test_kill(&f);
    test_torn(&f, "torn", true);
    test_torn(&f, "unpublished", false);
    test_not_a_number(&f);
    test_misfit(&f);
    test_changes(&f);
    test_removed(&f);
    test_failed_evaluation(&f);
    test_positions(&f);
    test_load(&f);
    test_eval(&f);
    test_progress(&f);
    test_entries(&f);
    tokenizer_free(f.tok[0]);
    fclose(f.null);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", f.folder);
    EXPECT(system(command) == 0, "%s", command);
    return check_done("run");
}
