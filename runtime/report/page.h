/* What is left of a run for a person to look at: curves.svg and report.html in its folder, made
 * from metrics.jsonl, the pictures beside it and the program. history.c reads, curves.c draws,
 * page.c writes. */
#ifndef UPT_PAGE_H
#define UPT_PAGE_H

#include "runtime/runtime.h"

typedef struct Point {
    double step, value;
} Point;
typedef struct Series { /* of one name, in order of the file; values that are no numbers are left
                           out */
    const char *name;
    VEC(Point) point;
} Series;
typedef struct Told { /* texts as they were last; the first time of a warning */
    const char *name, *text;
    int64_t step;
} Told;
typedef struct History {
    Arena *arena;
    VEC(Series) series;
    VEC(Told) text, warning;
    int64_t step; /* the last; -1: there is none */
} History;
/* A last line that was cut short is what a killed run leaves, and not counted. */
bool history_read(History *h, const char *path, Err *e);

void put_escaped(Buf *b, const char *text, size_t n); /* for HTML and SVG */
/* One curve as an <svg> of CURVE_HEIGHT at `y`. */
enum { CURVE_WIDTH = 640, CURVE_HEIGHT = 200 };
void put_curve(Buf *b, const Series *s, int y);
void put_curves(Buf *b, const History *h); /* all of them under each other: a file of its own */

typedef struct Page {
    const char *dir, *name;
    const Diag *sources; /* of the program, or NULL */
    const RunSpec *run;
} Page;
bool page_write(const Page *p, Err *e);
#endif
