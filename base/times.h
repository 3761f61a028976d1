/* Where time goes: stages with their seconds, kept as they end and printed as one table. A stage
 * may have parts, which are sums over threads and so may exceed it. A Times that is NULL is asked
 * for nothing and keeps nothing. It belongs to one thread. */
#ifndef UPT_TIMES_H
#define UPT_TIMES_H

#include "base/base.h"

typedef struct Times Times;
Times *times_new(Arena *a); /* starts counting */
/* A stage that began at `start` and ends now; the format says what it did ("": nothing to say). */
void times_stage(Times *t, const char *stage, double start, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A part of the stage before it. */
void times_part(Times *t, const char *part, double seconds, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The table, with what no stage covers and the whole; then it starts anew. */
void times_print(Times *t, FILE *f);

#endif
