/* Pictures that entries report, in the run's folder: images/NAME-STEP.png, of each name the newest
 * IMAGES_KEPT. */
#ifndef UPT_IMAGES_H
#define UPT_IMAGES_H

#include "runtime/runtime.h"

enum { IMAGES_KEPT = 100 };
typedef struct Image {
    const char *path, *name; /* name: of the report */
    int64_t step;
} Image;
typedef VEC(Image) Images;
/* Those of the run in `dir`, by name and of each name in order of steps. */
void images_list(Arena *a, const char *dir, Images *out);
void images_cut_back(const char *dir, int64_t upto); /* those of later steps go */

typedef struct ImagesAt {
    const char *dir, *prefix; /* of the run; of names */
    int64_t step;
    FILE *tell; /* says what is written; NULL: nobody listens */
} ImagesAt;
/* Writes every picture among a plan's outputs. */
bool images_write(const Exec *x, const RtPlan *plan, const ImagesAt *at, Err *e);
#endif
