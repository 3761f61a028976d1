/* The standard library of the language as it is embedded in the program: the bytes of
 * models/std/NAME.upm by NAME, each followed by a zero. */
#ifndef UPT_STDLIB_H
#define UPT_STDLIB_H

#include <stddef.h>

const char *stdlib_module(const char *name, size_t *n); /* NULL: there is none of that name */
const char *stdlib_name(size_t i);                      /* the i-th name; NULL after the last */

#endif
