/* Whether a checkpoint fits a program: the same vocabularies, and tensors of the same types. */
#include <inttypes.h>
#include <string.h>

#include "runtime/save/save.h"

bool fit_refuse(const Fit *f, const char *remedy, const char *fmt, ...) {
    Buf b = {0};
    buf_printf(&b, "'%s' ", f->path);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    err_set(f->e, "%.700s; %s%s%s", b.data, remedy ? remedy : "", remedy ? ", or " : "",
            f->instead);
    buf_free(&b);
    return false;
}

/* ---- vocabularies */

uint64_t vocabulary_hash(const State *s, int tokenizer) {
    bool open = s->tok && s->tok[tokenizer];
    return open ? tokenizer_hash(s->tok[tokenizer]) : s->p->spec.tokenizer[tokenizer].hash;
}

static bool refuse_vocabulary(const Fit *f, const TokenizerSpec *t) {
    return fit_refuse(f, "use the vocabulary that it was trained with",
                      "was trained with another vocabulary than '%s' is now (%s)", t->name,
                      *t->path ? t->path : t->kind);
}

/* One of the same name must be the same; where names differ, one of the program's must be known
 * there. */
static bool check_vocabulary(const Fit *f) {
    const Spec *spec = &f->s->p->spec;
    int there = 0, shared = 0;
    for (int i = 0; i < f->c.nmeta; i++) there += str_starts(f->c.meta[i].key, "vocabulary.");
    for (int i = 0; i < spec->ntokenizer; i++) {
        const TokenizerSpec *t = &spec->tokenizer[i];
        const char *hash = arena_printf(f->c.arena, "%016" PRIx64, vocabulary_hash(f->s, i));
        const char *named =
            checkpoint_meta(&f->c, arena_printf(f->c.arena, "vocabulary.%s", t->name));
        if (named && !str_eq(named, hash)) return refuse_vocabulary(f, t);
        for (int k = 0; k < f->c.nmeta; k++)
            shared +=
                str_starts(f->c.meta[k].key, "vocabulary.") && str_eq(f->c.meta[k].value, hash);
    }
    return !there || !spec->ntokenizer || shared || refuse_vocabulary(f, &spec->tokenizer[0]);
}

/* ---- opening and reading */

/* The file's own failure, with what to do. */
static bool refuse_file(const Fit *f, const Err *why) {
    return err_set(f->e, "%.700s; %s%s%s", why->msg, f->damaged ? f->damaged : "",
                   f->damaged ? ", or " : "", f->instead);
}

bool fit_open(Fit *f) {
    Err why = {0};
    if (!checkpoint_open(f->path, &f->c, &why)) return refuse_file(f, &why);
    if (check_vocabulary(f)) return true;
    checkpoint_close(&f->c);
    return false;
}

static void put_type(Buf *b, DType t, int rank, const int64_t *dim) {
    buf_printf(b, "%s[", dtype_name(t));
    for (int i = 0; i < rank; i++) buf_printf(b, i ? ",%" PRId64 : "%" PRId64, dim[i]);
    buf_puts(b, "]");
}

static bool refuse_type(const Fit *f, const CheckTensor *c, const RtTensor *t) {
    Buf there = {0}, here = {0};
    put_type(&there, c->dtype, c->rank, c->dim);
    put_type(&here, t->dtype, t->rank, t->dim);
    fit_refuse(f, f->misfit,
               "does not fit the program: '%.200s' is %s there and '%.200s' is %s here", c->name,
               there.data, t->name, here.data);
    buf_free(&there);
    buf_free(&here);
    return false;
}

bool fit_read(const Fit *f, const CheckTensor *from, int tensor) {
    RtTensor there = f->s->p->tensor[tensor]; /* as the program was written */
    bool other = there.kept != RT_KEPT_as_is;
    if (other) there.dtype = DT_f32;
    if (there.kept == RT_KEPT_turned)
        there.dim[0] = f->s->p->tensor[tensor].dim[1],
        there.dim[1] = f->s->p->tensor[tensor].dim[0];
    bool same = from->dtype == there.dtype && from->rank == there.rank &&
                memcmp(from->dim, there.dim, (size_t)there.rank * sizeof *there.dim) == 0;
    if (!same) return refuse_type(f, from, &there);
    Err why = {0};
    if (other) return weights_read(f, from, tensor, &why) || refuse_file(f, &why);
    return checkpoint_read(&f->c, from, exec_tensor(f->s->x, tensor), &why) || refuse_file(f, &why);
}
