/* What an entry returns, row by row, as lines of JSON. */
#ifndef UPT_ROWS_H
#define UPT_ROWS_H

#include "runtime/runtime.h"

/* Appends a line for each of the first `rows` rows of the plan's values and texts. */
void rows_json(const Exec *x, const RtPlan *plan, Tokenizer *const *tok, int64_t rows, Buf *out);

#endif
