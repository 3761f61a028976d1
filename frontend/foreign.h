/* Words and names of other languages: a hint for those who bring them (foreign.def). NULL: none. */
#ifndef UPT_FOREIGN_H
#define UPT_FOREIGN_H

const char *foreign_word(const char *word);  /* of a grammar: def, lambda */
const char *foreign_name(const char *name);  /* a word or a library's name: torch, randn, self */
const char *foreign_field(const char *name); /* after a dot: view, T, backward */

#endif
