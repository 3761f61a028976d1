/* The table of foreign.def, and the three questions asked of it. */
#include "frontend/foreign.h"

#include <stddef.h>
#include <string.h>

typedef enum Sort { SORT_word = 1, SORT_name = 2, SORT_method = 4 } Sort;
static const struct {
    Sort sort;
    const char *name, *hint;
} table[] = {
#define FOREIGN(word, hint) {SORT_word, word, hint},
#define ALIEN(name, hint) {SORT_name, name, hint},
#define METHOD(name, hint) {SORT_method, name, hint},
#include "frontend/foreign.def"
#undef FOREIGN
#undef ALIEN
#undef METHOD
};

static const char *find(const char *name, unsigned sorts) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if ((table[i].sort & sorts) && strcmp(table[i].name, name) == 0) return table[i].hint;
    return NULL;
}

const char *foreign_word(const char *word) {
    return find(word, SORT_word);
}

const char *foreign_name(const char *name) {
    return find(name, SORT_word | SORT_name);
}

const char *foreign_field(const char *name) {
    return find(name, SORT_name | SORT_method);
}
