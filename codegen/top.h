/* Included by along.c once for each type of element: TYPE, KEY(v) as an integer that is ordered as
 * the elements are, and NAMED(f), the type's name for a function. A place comes before another if
 * its element is larger, or equal and earlier: a total order, so there is one result however it is
 * found. Nothing needs room beside the result. */
static inline bool NAMED(before)(const TYPE *x, int32_t a, int32_t b) {
    int64_t ka = KEY(x[a]), kb = KEY(x[b]);
    return ka != kb ? ka > kb : a < b;
}

/* `heap` of n places: none comes before its two children, so the first comes last of all. Place
 * `at` may do so, and goes down. */
static void NAMED(sink)(const TYPE *x, int32_t *heap, int64_t n, int64_t at) {
    int32_t place = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && NAMED(before)(x, heap[child], heap[child + 1])) child++;
        if (!NAMED(before)(x, place, heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = place;
}

static void NAMED(heapify)(const TYPE *x, int32_t *heap, int64_t n) {
    for (int64_t i = n / 2; i-- > 0;) NAMED(sink)(x, heap, n, i);
}

static void NAMED(heap_sort)(const TYPE *x, int32_t *p, int64_t n) {
    NAMED(heapify)(x, p, n);
    for (int64_t end = n - 1; end > 0; end--) {
        swap_places(&p[0], &p[end]);
        NAMED(sink)(x, p, end, 0);
    }
}

static void NAMED(insertion_sort)(const TYPE *x, int32_t *p, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        for (int64_t k = i; k > 0 && NAMED(before)(x, p[k], p[k - 1]); k--)
            swap_places(&p[k], &p[k - 1]);
}

static inline int32_t NAMED(median)(const TYPE *x, int32_t a, int32_t b, int32_t c) {
    if (NAMED(before)(x, a, b)) return NAMED(before)(x, b, c) ? b : NAMED(before)(x, a, c) ? c : a;
    return NAMED(before)(x, a, c) ? a : NAMED(before)(x, b, c) ? c : b;
}

/* How many go to the front, before those that come after them: at least one, and not all. */
static int64_t NAMED(part)(const TYPE *x, int32_t *p, int64_t n) {
    int32_t pivot = NAMED(median)(x, p[0], p[n / 2], p[n - 1]);
    for (int64_t i = 0, k = n - 1;; i++, k--) {
        while (NAMED(before)(x, p[i], pivot)) i++;
        while (NAMED(before)(x, pivot, p[k])) k--;
        if (i >= k) return k + 1;
        swap_places(&p[i], &p[k]);
    }
}

/* Quicksort (Hoare 1962) that turns to a heapsort where it goes wrong (Musser 1997). */
static void NAMED(sort)(const TYPE *x, int32_t *p, int64_t n, int depth) {
    enum { FEW = 16 };
    while (n > FEW) {
        if (depth-- == 0) {
            NAMED(heap_sort)(x, p, n);
            return;
        }
        int64_t first = NAMED(part)(x, p, n);
        bool shorter = first < n - first; /* the shorter part by recursion */
        NAMED(sort)(x, shorter ? p : p + first, shorter ? first : n - first, depth);
        p = shorter ? p + first : p;
        n = shorter ? n - first : first;
    }
    NAMED(insertion_sort)(x, p, n);
}

/* The k that come first are kept as a heap, so that most elements cost one comparison. */
static void NAMED(top)(const char *row, int64_t n, int32_t *best, int64_t k) {
    const TYPE *x = (const TYPE *)(const void *)row;
    for (int64_t i = 0; i < k; i++) best[i] = (int32_t)i;
    if (k < n) NAMED(heapify)(x, best, k);
    int64_t least = KEY(x[best[0]]);
    for (int64_t i = k; i < n; i++) {
        if (KEY(x[i]) <= least) continue;
        best[0] = (int32_t)i;
        NAMED(sink)(x, best, k, 0);
        least = KEY(x[best[0]]);
    }
    NAMED(sort)(x, best, k, DEPTH_MOST);
}
#undef TYPE
#undef KEY
#undef NAMED
