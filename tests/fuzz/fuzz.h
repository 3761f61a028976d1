/* fuzz: what takes bytes from a file, given any bytes. Each .c file here is one entry; it is linked
 * with libFuzzer (scripts/fuzz, mutate.c), or with replay.c, which feeds it the seeds. fuzz_feed
 * says whether its reader took the bytes for what they claim to be; what must not happen ends the
 * process: a sanitizer's finding, BUG(), a CHECK, or an allocation of more than any honest file
 * needs. */
#ifndef UPT_FUZZ_H
#define UPT_FUZZ_H

#include "ir/ir.h"

bool fuzz_feed(const uint8_t *data, size_t n);

/* Prints what was found, to nowhere: carets are made of whatever the text holds. */
static inline void fuzz_print(Diag *d) {
    FILE *f = fopen("/dev/null", "w");
    CHECK(f);
    diag_print(d, f, true);
    fclose(f);
}

#endif
