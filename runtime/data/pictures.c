/* One record, as the stages after its source change the picture. Columns are copied as they lie;
 * a picture that is decoded or changed goes through two buffers of the pipeline's own, which only
 * its reader's thread uses. A picture in grey among coloured ones becomes coloured. */
#include <string.h>

#include "runtime/data/records.h"

struct Scratch {
    Buf file;
    Picture now, next;
};

bool pictures_change(Pipeline *p, Change c, Err *e) {
    Field *f = p->nfield ? &p->field[0] : NULL;
    bool picture = p->source && f && str_eq(f->name, "image") && f->dtype == DT_u8 && f->rank == 3;
    if (!picture || (f->dim[2] != 1 && f->dim[2] != 3))
        return err_set(e, "only pictures of one or three channels can be changed");
    if (!c.grey && (c.h < 1 || c.w < 1 || c.h > RESIZE_MAX || c.w > RESIZE_MAX))
        return err_set(e, "resize takes sides from 1 to %d, not %lld and %lld", RESIZE_MAX,
                       (long long)c.h, (long long)c.w);
    if (c.grey) f->dim[2] = 1;
    if (!c.grey) f->dim[0] = c.h, f->dim[1] = c.w;
    vec_push(p->arena, &p->change, c);
    return true;
}

void pictures_open(Pipeline *p) {
    p->scratch = NEW(p->arena, Scratch);
}

void pictures_close(Pipeline *p) {
    if (!p->scratch) return;
    buf_free(&p->scratch->file);
    picture_free(&p->scratch->now);
    picture_free(&p->scratch->next);
}

static void change(Scratch *s, const Change *c) {
    if (c->grey) {
        picture_grey(&s->now);
        return;
    }
    picture_resize(&s->now, c->h, c->w, &s->next);
    Picture was = s->now;
    s->now = s->next;
    s->next = was;
}

static bool fits(const Pipeline *p, const char *path, const Picture *got, Err *e) {
    const Field *f = &p->field[0];
    bool sides = got->h == f->dim[0] && got->w == f->dim[1];
    if (sides && got->c <= f->dim[2]) return true;
    return err_set(e,
                   "'%s' has %lld x %lld pixels of %lld channel%s, and the first picture "
                   "%lld x %lld of %lld; add %s after images(...)",
                   path, (long long)got->h, (long long)got->w, (long long)got->c,
                   got->c == 1 ? "" : "s", (long long)f->dim[0], (long long)f->dim[1],
                   (long long)f->dim[2], sides ? "| grayscale" : "| resize(height, width)");
}

static void take_from_column(const Pipeline *p, uint64_t i) {
    const Field *f = &p->source->field[0];
    size_t n = record_bytes(f);
    picture_shape(&p->scratch->now, f->dim[0], f->dim[1], f->dim[2]);
    memcpy(p->scratch->now.at, p->source->column[0].at + n * i, n);
}

static Got picture(const Pipeline *p, uint64_t i, void *out, Err *e) {
    const Records *r = p->source;
    Scratch *s = p->scratch;
    Got got = GOT_record;
    if (r->picture.n)
        got = images_read(p->source, i, &s->file, &s->now, e);
    else
        take_from_column(p, i);
    if (got != GOT_record) return got;
    for (size_t k = 0; k < p->change.n; k++) change(s, &p->change.at[k]);
    if (r->picture.n && !fits(p, r->picture.path[i], &s->now, e)) return GOT_error;
    if (p->field[0].dim[2] == 3) picture_colour(&s->now);
    memcpy(out, s->now.at, record_bytes(&p->field[0]));
    return GOT_record;
}

Got pictures_row(const Pipeline *p, uint64_t i, void *const out[FIELDS], Err *e) {
    const Records *r = p->source;
    bool decoded = r->picture.n || p->change.n;
    Got got = decoded ? picture(p, i, out[0], e) : GOT_record;
    for (int k = decoded ? 1 : 0; k < p->nfield && got == GOT_record; k++) {
        size_t n = record_bytes(&p->field[k]);
        memcpy(out[k], r->column[k].at + n * i, n);
    }
    return got;
}
