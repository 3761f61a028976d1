/* CIFAR-10's binary format: records of a label byte and 32 x 32 pixels, first all reds, then all
 * greens, then all blues (Krizhevsky 2009). Any number of files, one after the other. */
#include "runtime/data/records.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, LABELS = 10, RECORD = 1 + CHANNELS * PLANE };

bool cifar_head(Records *r, Err *e) {
    return records_picture_field(r, SIDE, SIDE, CHANNELS, e) && records_label_field(r, e);
}

static bool put_record(Records *r, const ZFile *z, const unsigned char *record, Err *e) {
    unsigned char pixel[CHANNELS * PLANE];
    if (record[0] >= LABELS)
        return err_set(e,
                       "'%s' is not in CIFAR-10's binary format: byte %llu is the label of a "
                       "record, and it is %d",
                       z->path, (unsigned long long)(z->at - RECORD), record[0]);
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CHANNELS; c++) pixel[i * CHANNELS + c] = record[1 + c * PLANE + i];
    r->n++;
    return records_put(r, 0, pixel, sizeof pixel, e) && records_put_label(r, record[0], e);
}

static bool read_file(Records *r, ZFile *z, Err *e) {
    unsigned char record[RECORD];
    for (size_t got = RECORD; got;) {
        if (!zfile_read(z, record, RECORD, &got, e)) return false;
        if (got && got < RECORD)
            return err_set(e, "'%s' ends at byte %llu, within a record of %d bytes", z->path,
                           (unsigned long long)z->at, RECORD);
        if (got && !put_record(r, z, record, e)) return false;
    }
    return z->at || err_set(e, "'%s' is empty", z->path);
}

bool cifar_load(Records *r, Err *e) {
    FileList files;
    if (!glob_files(r->arena, records_path(r, "files"), &files, e)) return false;
    for (size_t i = 0; i < files.n; i++) {
        ZFile z = {0};
        bool ok = zfile_open(files.path[i], &z, e) && read_file(r, &z, e);
        zfile_close(&z);
        if (!ok) return false;
    }
    return true;
}
