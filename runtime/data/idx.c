/* IDX, the format of MNIST: two zeros, the type 8 (bytes), the number of dimensions, each dimension
 * as four bytes with the highest first, then the bytes. Images have three dimensions (n, height,
 * width) or four (and channels), labels one. */
#include "runtime/data/records.h"

enum { MAGIC = 4, SIZE = 4, IMAGE_RANK_MAX = 4 };

typedef struct Idx {
    ZFile z;
    int rank;
    uint32_t size[IMAGE_RANK_MAX];
} Idx;

static bool wrong_magic(const Idx *x, const unsigned char *m, const char *what, int least, Err *e) {
    return err_set(e,
                   "'%s' is not an IDX file of %s: it begins with %02X %02X %02X %02X, not "
                   "00 00 08 %02X",
                   x->z.path, what, m[0], m[1], m[2], m[3], least);
}

static bool read_header(Idx *x, const char *what, int least, int most, Err *e) {
    unsigned char head[MAGIC + SIZE * IMAGE_RANK_MAX] = {0};
    size_t got, want = 0;
    if (!zfile_read(&x->z, head, MAGIC, &got, e)) return false;
    if (got < MAGIC) return err_set(e, "'%s' is not an IDX file: it has %zu bytes", x->z.path, got);
    x->rank = head[3];
    if (head[0] || head[1] || head[2] != 8 || x->rank < least || x->rank > most)
        return wrong_magic(x, head, what, least, e);
    want = (size_t)x->rank * SIZE;
    if (!zfile_read(&x->z, head + MAGIC, want, &got, e)) return false;
    if (got < want)
        return err_set(e, "'%s' ends at byte %llu, within the sizes of its header", x->z.path,
                       (unsigned long long)x->z.at);
    for (int i = 0; i < x->rank; i++) {
        const unsigned char *p = head + MAGIC + SIZE * i;
        x->size[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    return x->size[0] || err_set(e, "'%s' holds no %s: its header says 0", x->z.path, what);
}

static bool open_idx(const char *path, Idx *x, const char *what, int least, int most, Err *e) {
    return zfile_open(path, &x->z, e) && read_header(x, what, least, most, e);
}

static bool open_images(Records *r, Idx *x, Err *e) {
    return open_idx(records_path(r, "images"), x, "images", 3, 4, e);
}

static bool has_labels(Records *r) {
    return *records_path(r, "labels");
}

bool idx_head(Records *r, Err *e) {
    Idx x = {0};
    bool ok = open_images(r, &x, e) &&
              records_picture_field(r, x.size[1], x.size[2], x.rank == 4 ? x.size[3] : 1, e);
    zfile_close(&x.z);
    return ok && (!has_labels(r) || records_label_field(r, e));
}

static bool short_labels(const Idx *x, uint64_t had, Err *e) {
    return err_set(e, "'%s' ends after %llu of the %u labels that its header promises", x->z.path,
                   (unsigned long long)had, x->size[0]);
}

static bool read_labels(Records *r, Idx *x, Err *e) {
    unsigned char part[4096];
    if (x->size[0] != r->n)
        return err_set(e, "'%s' has %llu images and '%s' %u labels; they do not belong together",
                       records_path(r, "images"), (unsigned long long)r->n, x->z.path, x->size[0]);
    for (uint64_t done = 0; done < r->n;) {
        size_t got, want = r->n - done < sizeof part ? (size_t)(r->n - done) : sizeof part;
        if (!zfile_read(&x->z, part, want, &got, e)) return false;
        if (got < want) return short_labels(x, done + got, e);
        for (size_t i = 0; i < got; i++)
            if (!records_put_label(r, part[i], e)) return false;
        done += got;
    }
    return zfile_ended(&x->z, e);
}

static bool load_labels(Records *r, Err *e) {
    Idx x = {0};
    bool ok = open_idx(records_path(r, "labels"), &x, "labels", 1, 1, e) && read_labels(r, &x, e);
    zfile_close(&x.z);
    return ok;
}

bool idx_load(Records *r, Err *e) {
    Idx x = {0};
    bool ok = open_images(r, &x, e);
    r->n = x.size[0];
    ok = ok && records_read(r, 0, &x.z, r->n, e) && zfile_ended(&x.z, e);
    zfile_close(&x.z);
    return ok && (!has_labels(r) || load_labels(r, e));
}
