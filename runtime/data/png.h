/* What libpng tells, of reading and of writing: an error's text goes into the Err that was given
 * as the error pointer, and libpng goes back by longjmp; warnings are passed over. */
#ifndef UPT_PNG_H
#define UPT_PNG_H

#include <png.h>

void png_tell_error(png_structp png, png_const_charp text);
void png_tell_nothing(png_structp png, png_const_charp text);

#endif
