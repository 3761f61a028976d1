/* What a run leaves for a person to look at: the pictures that entries report, and the page. None
 * of it is needed to go on, so what cannot be written is a warning, once, and the run goes on. */
#include "runtime/report/images.h"
#include "runtime/report/page.h"
#include "runtime/run.h"

static void tell_flaw(Run *r, const Err *e) {
    if (!r->flawed && !r->o->quiet) {
        progress_clear(&r->progress);
        fprintf(stderr, "warning: %s; nothing else is lost\n", e->msg);
    }
    r->flawed = true;
}

void show_images(Run *r, const RtPlan *plan, const char *prefix) {
    bool trains = r->dir.path != NULL;
    FILE *out = r->o->out ? r->o->out : stdout;
    ImagesAt at = {.dir = trains ? r->dir.path : run_folder(r),
                   .prefix = prefix,
                   .step = r->at.step,
                   .tell = trains || r->o->json ? NULL : out};
    Err e = {0};
    if (!images_write(r->x, plan, &at, &e)) tell_flaw(r, &e);
}

/* The settings are those of the run, which flags may have said. */
void show_page(Run *r) {
    RunSpec spec = r->p->spec.run;
    spec.seed = r->at.seed;
    spec.save_every = r->save_every;
    spec.log_every = r->log_every;
    spec.eval_every = r->eval_every;
    Page p = {.dir = r->dir.path, .name = r->p->name, .sources = r->o->sources, .run = &spec};
    Err e = {0};
    if (!page_write(&p, &e)) tell_flaw(r, &e);
}
