/* Checkpoints: what is written is read back bit for bit; every way a file can be wrong is refused
 * with a sentence; a write that fails leaves the old file and nothing else. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"
#include "tests/unit/check.h"

static const float WEIGHT[6] = {1.5f, -0.0f, 3e-45f, 3.4e38f, -7, 0.1f};
static const uint8_t HIT[3] = {1, 0, 1};
static const int64_t WIDE[2] = {INT64_MIN, 42};

static const CheckTensor TENSOR[] = {
    {"mlp.hit", DT_bool, 1, {3}, HIT, 3, 0},
    {"mlp.weight \"\xc3\xa9\"", DT_f32, 2, {2, 3}, WEIGHT, 24, 0},
    {"none", DT_f32, 2, {0, 5}, WEIGHT, 0, 0},
    {"scalar", DT_bf16, 0, {0}, WEIGHT, 2, 0},
    {"wide", DT_i64, 1, {2}, WIDE, 16, 0},
};
enum { TENSORS = sizeof TENSOR / sizeof *TENSOR };

static MapEntry META[] = {{"format", "upt"}, {"step", "12"}};

static char *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *p = calloc(1, 1 << 16);
    *n = fread(p, 1, 1 << 16, f);
    fclose(f);
    return p;
}

static void spill(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    EXPECT(f && fwrite(p, 1, n, f) == n && fclose(f) == 0, "%s", path);
}

static void test_round_trip(const char *path) {
    Err e = {0};
    EXPECT(checkpoint_write(path, TENSOR, TENSORS, META, 2, &e), "%s", e.msg);
    Checkpoint c;
    EXPECT(checkpoint_open(path, &c, &e), "%s", e.msg);
    EXPECT(c.ntensor == TENSORS && c.nmeta == 2, "%d tensors, %d strings", c.ntensor, c.nmeta);
    for (int i = 0; i < TENSORS; i++) {
        const CheckTensor *t = checkpoint_find(&c, TENSOR[i].name), *want = &TENSOR[i];
        EXPECT(t && t->dtype == want->dtype && t->rank == want->rank && t->bytes == want->bytes,
               "%s", want->name);
        if (!t) continue;
        EXPECT(!memcmp(t->dim, want->dim, sizeof t->dim), "%s", want->name);
        char got[64];
        EXPECT(checkpoint_read(&c, t, got, &e), "%s: %s", want->name, e.msg);
        EXPECT(!memcmp(got, want->data, (size_t)t->bytes), "%s", want->name);
        EXPECT(t->at % (int64_t)dtype_size(t->dtype) == 0, "%s is not aligned", want->name);
    }
    EXPECT(str_eq(checkpoint_meta(&c, "step"), "12"), "step");
    EXPECT(!checkpoint_find(&c, "mlp") && !checkpoint_meta(&c, "seed"), "found what is not there");
    checkpoint_close(&c);
}

static void test_same_bytes(const char *path) {
    CheckTensor turned[TENSORS];
    for (int i = 0; i < TENSORS; i++) turned[i] = TENSOR[TENSORS - 1 - i];
    size_t n, m;
    char *first = slurp(path, &n);
    Err e = {0};
    EXPECT(checkpoint_write(path, turned, TENSORS, META, 2, &e), "%s", e.msg);
    char *second = slurp(path, &m);
    EXPECT(n == m && !memcmp(first, second, n), "the order of tensors shows in the file");
    free(first);
    free(second);
}

/* Opened, and every tensor read. */
static bool read_whole(const char *path, Err *e) {
    Checkpoint c;
    if (!checkpoint_open(path, &c, e)) return false;
    char *to = malloc((size_t)c.bytes);
    bool ok = true;
    for (int i = 0; ok && i < c.ntensor; i++) ok = checkpoint_read(&c, &c.tensor[i], to, e);
    free(to);
    checkpoint_close(&c);
    return ok;
}

static void expect_refused(const char *path, const char *what, const char *word) {
    Err e = {0};
    EXPECT(!read_whole(path, &e) && strstr(e.msg, path) && strstr(e.msg, word),
           "%s: '%s' does not say '%s'", what, e.msg, word);
}

static void test_header(const char *path, const char *header, size_t data, const char *word) {
    char file[4096] = {0};
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++) file[i] = (char)(n >> (8 * i));
    memcpy(file + 8, header, n);
    spill(path, file, 8 + n + data);
    expect_refused(path, header, word);
}

#define T(dtype, shape, from, to)                                                                  \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void test_headers(const char *path) {
    test_header(path, "", 0, "header");
    test_header(path, "[]", 0, "not a JSON object");
    test_header(path, "{\"a\":", 0, "header");
    test_header(path, "{}x", 0, "header");
    test_header(path, "{}", 4, "left over");
    test_header(path, "{\"a\":3}", 0, "object");
    test_header(path, "{\"a\":{}}", 0, "no dtype");
    test_header(path, "{\"a\":" T("F16", "[1]", "0", "2") "}", 2, "F16");
    test_header(path, "{\"a\":" T("F32", "3", "0", "4") "}", 4, "no shape");
    test_header(path, "{\"a\":" T("F32", "[-1]", "0", "4") "}", 4, "not a size");
    test_header(path, "{\"a\":" T("F32", "[1.5]", "0", "4") "}", 4, "not a size");
    test_header(path, "{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "more than 8");
    test_header(path, "{\"a\":" T("F32", "[4294967296,4294967296]", "0", "4") "}", 4, "too large");
    test_header(path, "{\"a\":" T("F32", "[4611686018427387904]", "0", "0") "}", 0, "too large");
    test_header(path, "{\"a\":" T("F32", "[1]", "0", "8") "}", 8, "another size");
    test_header(path, "{\"a\":" T("F32", "[2]", "0", "8") "}", 4, "outside");
    test_header(path, "{\"a\":" T("F32", "[1]", "4", "0") "}", 8, "outside");
    test_header(path, "{\"a\":" T("F32", "[1]", "-4", "0") "}", 8, "outside");
    test_header(path, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
                "data_offsets");
    test_header(path, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,\"4\"]}}", 4,
                "data_offsets");
    test_header(path, "{\"a\":" T("F32", "[1]", "0", "4") ",\"b\":" T("F32", "[1]", "0", "4") "}",
                4, "overlaps");
    test_header(path, "{\"a\":" T("F32", "[1]", "0", "4") ",\"b\":" T("F32", "[1]", "2", "6") "}",
                6, "overlaps");
    test_header(path, "{\"a\":" T("F32", "[1]", "0", "4") ",\"b\":" T("F32", "[1]", "8", "12") "}",
                12, "gap");
    test_header(path, "{\"a\":" T("F32", "[1]", "4", "8") "}", 8, "gap");
    test_header(path, "{\"a\":" T("F32", "[1]", "0", "4") ",\"a\":" T("F32", "[1]", "0", "4") "}",
                4, "duplicate");
    test_header(path, "{\"__metadata__\":3}", 0, "__metadata__");
    test_header(path, "{\"__metadata__\":{\"step\":12}}", 0, "strings");
}

static void test_files(const char *path) {
    unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, late[16] = {9};
    spill(path, huge, sizeof huge);
    expect_refused(path, "length 2^64 - 1", "longer than the file");
    spill(path, late, sizeof late);
    expect_refused(path, "length one too large", "longer than the file");
    spill(path, late, 7);
    expect_refused(path, "seven bytes", "too short");
    spill(path, late, 0);
    expect_refused(path, "empty", "too short");
    expect_refused("no/such.safetensors", "missing", "No such file");
    expect_refused("/", "a folder", "not a file");
    unsigned char two[] = "\x3e\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_"
                          "offsets\":[0,1]}}       \2";
    spill(path, two, sizeof two - 1);
    expect_refused(path, "a bool of 2", "0 and 1");
}

/* A good file cut at every length, and with every byte changed: refused, or still a valid file;
 * never a crash. */
static void test_damage(const char *path) {
    Err e = {0};
    EXPECT(checkpoint_write(path, TENSOR, TENSORS, META, 2, &e), "%s", e.msg);
    size_t n;
    char *good = slurp(path, &n);
    for (size_t cut = 0; cut < n; cut++) {
        spill(path, good, cut);
        expect_refused(path, "a file cut short", "'");
    }
    for (size_t i = 0; i < n; i++) {
        char was = good[i];
        good[i] = (char)(was ^ 0x15);
        spill(path, good, n);
        Err why = {0};
        EXPECT(read_whole(path, &why) || *why.msg, "byte %zu changed: refused without a word", i);
        good[i] = was;
    }
    free(good);
}

/* The file is another by the time that its tensors are read: cut (a map would fault), written over,
 * removed, replaced. The last two leave what was opened as it was. */
static void test_changes(const char *path) {
    Err e = {0};
    Checkpoint c;
    char got[64];
    for (int how = 0; how < 4; how++) {
        EXPECT(checkpoint_write(path, TENSOR, TENSORS, META, 2, &e), "%s", e.msg);
        EXPECT(checkpoint_open(path, &c, &e), "%s", e.msg);
        const CheckTensor *t = checkpoint_find(&c, "mlp.hit");
        if (how == 0) EXPECT(truncate(path, 16) == 0, "truncate");
        if (how == 1)
            EXPECT(utimensat(AT_FDCWD, path, (struct timespec[2]){{1, 0}, {1, 0}}, 0) == 0,
                   "utimensat");
        if (how == 2) EXPECT(unlink(path) == 0, "unlink");
        if (how == 3) EXPECT(checkpoint_write(path, TENSOR, 2, META, 2, &e), "%s", e.msg);
        bool ok = t && checkpoint_read(&c, t, got, &e);
        EXPECT(ok == (how > 1), "%d: %s", how, e.msg);
        EXPECT(ok || (strstr(e.msg, path) && strstr(e.msg, how ? "changed" : "shorter")), "%s",
               e.msg);
        EXPECT(!ok || !memcmp(got, HIT, sizeof HIT), "%d: other bytes", how);
        checkpoint_close(&c);
    }
}

static int count_files(const char *folder) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) n += f->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void test_failed_write(const char *folder, const char *path) {
    Err e = {0};
    EXPECT(checkpoint_write(path, TENSOR, TENSORS, META, 2, &e), "%s", e.msg);
    size_t n, m;
    char *before = slurp(path, &n);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small = {200, 0};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    MapEntry other[] = {{"step", "13"}};
    bool wrote = checkpoint_write(path, TENSOR, TENSORS, other, 1, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    EXPECT(!wrote && strstr(e.msg, path) && strstr(e.msg, "large"), "'%s'", e.msg);
    char *after = slurp(path, &m);
    EXPECT(n == m && !memcmp(before, after, n), "a failed write changed the file");
    EXPECT(count_files(folder) == 1, "a failed write left files: %d", count_files(folder));
    free(before);
    free(after);
    EXPECT(!checkpoint_write("/no/such/folder/x.safetensors", TENSOR, TENSORS, META, 2, &e) &&
               strstr(e.msg, "No such file"),
           "%s", e.msg);
    CheckTensor twice[] = {TENSOR[0], TENSOR[0]};
    EXPECT(!checkpoint_write(path, twice, 2, META, 2, &e) && strstr(e.msg, "one name"), "%s",
           e.msg);
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void test_rundir(const char *folder) {
    Err e = {0};
    RunDir d, other;
    char path[512], half[600];
    snprintf(path, sizeof path, "%s/deep/run", folder);
    EXPECT(rundir_open(&d, path, &e), "%s", e.msg);
    EXPECT(!rundir_has_last(&d), "a new folder has a checkpoint");
    EXPECT(!rundir_open(&other, path, &e) && strstr(e.msg, "another run") && strstr(e.msg, path),
           "%s", e.msg);
    for (int64_t step = 10; step <= 40; step += 10) {
        EXPECT(checkpoint_write(rundir_step(&d, step), TENSOR, TENSORS, META, 2, &e), "%s", e.msg);
        EXPECT(rundir_publish(&d, step, 2, &e), "%s", e.msg);
        EXPECT(rundir_publish(&d, step, 2, &e), "twice: %s", e.msg);
    }
    EXPECT(!exists(rundir_step(&d, 20)) && exists(rundir_step(&d, 30)) &&
               exists(rundir_step(&d, 40)),
           "keep 2");
    struct stat last, step;
    EXPECT(stat(d.last, &last) == 0 && stat(rundir_step(&d, 40), &step) == 0 &&
               last.st_size == step.st_size,
           "last.safetensors is not the last");
    EXPECT(count_files(path) == 3, "%d files", count_files(path));
    rundir_close(&d);
    const char *aside[] = {"step-50.safetensors.tmp123", "last.safetensors.tmp", "tiny.upx.tmp4",
                           "report.html.tmp5", "curves.svg.tmp6"};
    for (size_t i = 0; i < sizeof aside / sizeof *aside; i++) {
        snprintf(half, sizeof half, "%s/%s", path, aside[i]);
        spill(half, "x", 1);
        EXPECT(rundir_open(&d, path, &e), "the lock was not given back: %s", e.msg);
        EXPECT(!exists(half), "%s stays", half);
        rundir_close(&d);
    }
    EXPECT(!rundir_open(&d, "/proc/nowhere/run", &e) && strstr(e.msg, "/proc/nowhere"), "%s",
           e.msg);
}

int main(void) {
    char folder[] = "/tmp/upt-checkpoint-XXXXXX", inner[64], path[128], command[128];
    EXPECT(mkdtemp(folder), "%s", folder);
    snprintf(inner, sizeof inner, "%s/c", folder);
    mkdir(inner, 0777);
    snprintf(path, sizeof path, "%s/a.safetensors", inner);
    test_round_trip(path);
    test_same_bytes(path);
    test_headers(path);
    test_files(path);
    test_damage(path);
    test_changes(path);
    test_failed_write(inner, path);
    test_rundir(folder);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    EXPECT(system(command) == 0, "%s", command);
    return check_done("checkpoint");
}
