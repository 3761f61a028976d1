/* Curves as SVG: one series each, in the colour of the text around it. Of a series longer than
 * POINTS as many are drawn, evenly taken, and the last. */
#include <math.h>
#include <string.h>

#include "runtime/report/page.h"

enum { POINTS = 1000, LEFT = 70, RIGHT = 10, TOP = 24, BOTTOM = 20 };

void put_escaped(Buf *b, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '<')
            buf_puts(b, "&lt;");
        else if (c == '>')
            buf_puts(b, "&gt;");
        else if (c == '&')
            buf_puts(b, "&amp;");
        else if (c == '"')
            buf_puts(b, "&quot;");
        else if ((unsigned char)c < 0x20 && c != '\n' && c != '\t')
            buf_puts(b, " ");
        else
            buf_put(b, &c, 1);
    }
}

typedef struct Range {
    double low, high;
} Range;

/* Where a value lies between the ends of its range, from 0 to 1; halves, so that nothing overflows.
 */
static double share_of(const Range *r, double v) {
    double width = r->high / 2 - r->low / 2;
    return width > 0 ? (v / 2 - r->low / 2) / width : 0.5;
}

static void widen(Range *r, double v) {
    r->low = fmin(r->low, v);
    r->high = fmax(r->high, v);
}

static void put_point(Buf *b, const Point *p, const Range *x, const Range *y, bool first) {
    buf_printf(b, "%s%.1f %.1f", first ? "M" : "L",
               LEFT + share_of(x, p->step) * (CURVE_WIDTH - LEFT - RIGHT),
               CURVE_HEIGHT - BOTTOM - share_of(y, p->value) * (CURVE_HEIGHT - TOP - BOTTOM));
}

static void put_path(Buf *b, const Series *s, const Range *x, const Range *y) {
    size_t n = s->point.n, every = (n + POINTS - 1) / POINTS;
    buf_puts(b, "<path fill=\"none\" stroke=\"#2a78d6\" stroke-width=\"1.5\" d=\"");
    for (size_t i = 0; i < n; i += every) put_point(b, &s->point.at[i], x, y, i == 0);
    put_point(b, &s->point.at[n - 1], x, y, false);
    buf_puts(b, "\"/>");
    if (n > 1) return;
    buf_printf(b, "<circle r=\"3\" fill=\"#2a78d6\" cx=\"%d\" cy=\"%d\"/>",
               LEFT + (CURVE_WIDTH - LEFT - RIGHT) / 2, TOP + (CURVE_HEIGHT - TOP - BOTTOM) / 2);
}

static void put_label(Buf *b, int x, int y, const char *anchor, double v) {
    buf_printf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%.4g</text>", x, y, anchor, v + 0.0);
}

void put_curve(Buf *b, const Series *s, int at) {
    if (!s->point.n) return;
    Range x = {s->point.at[0].step, s->point.at[0].step},
          y = {s->point.at[0].value, s->point.at[0].value};
    for (size_t i = 1; i < s->point.n; i++) {
        widen(&x, s->point.at[i].step);
        widen(&y, s->point.at[i].value);
    }
    int bottom = CURVE_HEIGHT - BOTTOM, right = CURVE_WIDTH - RIGHT;
    buf_printf(b,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" y=\"%d\" width=\"%d\" height=\"%d\" "
               "font-family=\"sans-serif\" font-size=\"12\" fill=\"currentColor\"><text x=\"%d\" "
               "y=\"14\" font-weight=\"bold\">",
               at, CURVE_WIDTH, CURVE_HEIGHT, LEFT);
    put_escaped(b, s->name, strlen(s->name));
    buf_printf(b,
               "</text><path fill=\"none\" stroke=\"currentColor\" opacity=\".4\" "
               "d=\"M%d %dV%dH%d\"/>",
               LEFT, TOP, bottom, right);
    put_label(b, LEFT - 6, TOP + 8, "end", y.high);
    if (y.high > y.low) put_label(b, LEFT - 6, bottom, "end", y.low);
    put_label(b, LEFT, CURVE_HEIGHT - 5, "start", x.low);
    if (x.high > x.low) put_label(b, right, CURVE_HEIGHT - 5, "end", x.high);
    put_path(b, s, &x, &y);
    buf_puts(b, "</svg>\n");
}

void put_curves(Buf *b, const History *h) {
    buf_printf(b,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\">\n"
               "<style>svg{color:#222}@media(prefers-color-scheme:dark){svg{color:#ddd}}</style>\n",
               CURVE_WIDTH, CURVE_HEIGHT * h->series.n);
    for (size_t i = 0; i < h->series.n; i++)
        put_curve(b, &h->series.at[i], (int)(CURVE_HEIGHT * i));
    buf_puts(b, "</svg>\n");
}
