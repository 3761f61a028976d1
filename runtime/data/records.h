/* Inside runtime/data: records that have fields from the start, such as pictures with a label.
 *
 *   zfile.c      files that gzip may have compressed, read from front to back
 *   records.c    columns in memory, or files to be decoded one by one
 *   idx.c cifar.c npy.c csv.c folder.c   a format of files each
 *   picture.c    PNG (png.c) and JPEG (jpeg.c) files to pixels; other sizes and channels
 *   pictures.c   a record, as the stages after its source change it
 *
 * Sizes that a file states are checked before anything is made of them. */
#ifndef UPT_RECORDS_H
#define UPT_RECORDS_H

#include "runtime/data/internal.h"

/* ---- zfile.c */
typedef struct ZFile {
    void *file; /* gzFile */
    const char *path;
    uint64_t at; /* bytes read, uncompressed */
} ZFile;
bool zfile_open(const char *path, ZFile *z, Err *e);
/* `got` is less than n only where the file ends. */
bool zfile_read(ZFile *z, void *p, size_t n, size_t *got, Err *e);
bool zfile_ended(ZFile *z, Err *e); /* nothing follows; else an error */
void zfile_close(ZFile *z);

/* ---- records.c: what the formats fill in */
enum { SIDE_MAX = 1 << 15 };         /* of a picture */
enum { RECORD_BYTES_MAX = 1 << 29 }; /* of a field */
bool records_field(Records *r, const char *name, DType dtype, int rank, const int64_t *dim, Err *e);
bool records_picture_field(Records *r, int64_t h, int64_t w, int64_t c, Err *e);
bool records_label_field(Records *r, Err *e);
/* Adds to the column of a field, and to the hash. */
bool records_put(Records *r, int field, const void *p, size_t n, Err *e);
bool records_put_label(Records *r, int64_t label, Err *e);
/* `records` records of the field as they lie in the file. */
bool records_read(Records *r, int field, ZFile *z, uint64_t records, Err *e);
const char *records_path(Records *r, const char *arg); /* an argument of the source; "" for none */

/* One format: `head` adds the fields and reads no more than it must, `load` fills r->n and the
 * columns. */
typedef struct RecordFormat {
    const char *stage;
    bool (*head)(Records *r, Err *e);
    bool (*load)(Records *r, Err *e);
} RecordFormat;
#define RECORD_FORMATS(X) X(idx) X(cifar) X(npy) X(csv) X(images)
#define X(name)                                                                                    \
    bool name##_head(Records *r, Err *e);                                                          \
    bool name##_load(Records *r, Err *e);
RECORD_FORMATS(X)
#undef X

/* ---- picture.c */
typedef struct Picture { /* pixels by row; one channel, or red, green and blue */
    int64_t h, w, c;
    uint8_t *at; /* heap */
    size_t cap;
} Picture;
void picture_shape(Picture *p, int64_t h, int64_t w, int64_t c); /* makes room */
void picture_free(Picture *p);
/* The picture of a file of any kind known, or only its shape. GOT_broken: it is none, or damaged.
 * `file` is where its bytes go. */
Got picture_read(const char *path, Buf *file, bool only_shape, Picture *p, Err *e);
void picture_grey(Picture *p);   /* ITU-R BT.601 luma */
void picture_colour(Picture *p); /* grey as three equal channels */
/* Each new pixel is a mean of the old ones near it, by a triangle as wide as the pixels are apart.
 */
void picture_resize(const Picture *from, int64_t h, int64_t w, Picture *to);

/* ---- folder.c: picture `i` of a folder. */
Got images_read(Records *r, uint64_t i, Buf *file, Picture *p, Err *e);

/* ---- png.c jpeg.c: bytes to pixels. False: what is wrong with them, without the file's name. */
bool png_is(const Buf *file);
bool jpeg_is(const Buf *file);
bool png_read(const Buf *file, bool only_shape, Picture *p, Err *e);
bool jpeg_read(const Buf *file, bool only_shape, Picture *p, Err *e);
bool picture_check(uint64_t h, uint64_t w, Err *e); /* whether a size can be taken */

#endif
