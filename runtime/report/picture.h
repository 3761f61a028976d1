/* Pictures that a run shows: a sheet of them as one PNG. */
#ifndef UPT_PICTURE_H
#define UPT_PICTURE_H

#include "base/base.h"

typedef struct Sheet {
    const float *at; /* [n, h, w, c] from 0 to 1; what lies beyond is cut, what is no number is 0 */
    int64_t n, h, w, c; /* c: 1 or 3 */
    int64_t columns;    /* 0: as many as rows, or one more */
} Sheet;
/* Row by row, with a line of pixels between neighbours. */
bool picture_write(const char *path, const Sheet *s, Err *e);
void picture_tell(FILE *f, const char *path, const Sheet *s); /* a line on what was written */

#endif
