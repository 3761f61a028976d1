/* What the text form calls things: the records of attributes and of the program's parts, and the
 * words for kinds. */
#include "ir/text.h"

#define LIST(name, kind, T, m, rank)                                                               \
    { name, KEY_##kind, offsetof(T, m), offsetof(T, rank), false }
#define ONE(name, kind, T, m)                                                                      \
    { name, KEY_##kind, offsetof(T, m), 0, false }
/* optional: */
#define MORE_LIST(name, kind, T, m, rank)                                                          \
    { name, KEY_##kind, offsetof(T, m), offsetof(T, rank), true }
#define MORE(name, kind, T, m)                                                                     \
    { name, KEY_##kind, offsetof(T, m), 0, true }

const Record attr_record[ATTR_SCAN + 1] = {
    [ATTR_CONST] = {{ONE("value", double, Attr, num)}},
    [ATTR_AXES] = {{ONE("axes", mask, Attr, axes)}},
    [ATTR_AXIS] = {{ONE("axis", int, Attr, axis)}},
    [ATTR_TYPE] = {{ONE("to", dtype, Attr, dtype)}},
    [ATTR_SHAPE] = {{LIST("dim", dims, Attr, shape.dim, shape.rank)}},
    [ATTR_PERM] = {{LIST("perm", axes, Attr, perm.axis, perm.rank)}},
    [ATTR_SLICE] = {{LIST("start", dims, Attr, slice.start, slice.rank),
                     LIST("step", dims, Attr, slice.step, slice.rank),
                     LIST("size", dims, Attr, slice.size, slice.rank)}},
    [ATTR_PAD] = {{LIST("lo", dims, Attr, pad.lo, pad.rank),
                   LIST("hi", dims, Attr, pad.hi, pad.rank),
                   LIST("gap", dims, Attr, pad.gap, pad.rank)}},
    [ATTR_DOT] = {{ONE("a", labels, Attr, dot.a), ONE("b", labels, Attr, dot.b),
                   ONE("out", labels, Attr, dot.out), MORE("round", bool, Attr, dot.round),
                   MORE("halve", bool, Attr, dot.halve)}},
    [ATTR_WINDOW] = {{LIST("dim", dims, Attr, window.dim, window.rank),
                      LIST("size", dims, Attr, window.size, window.rank),
                      LIST("step", dims, Attr, window.step, window.rank),
                      LIST("dilate", dims, Attr, window.dilate, window.rank),
                      ONE("axis", int, Attr, window.axis)}},
    [ATTR_PLACE] = {{ONE("place", hex, Attr, random.place), ONE("below", int64, Attr, random.below),
                     MORE("first", int64, Attr, random.first),
                     MORE_LIST("stride", dims, Attr, random.stride, random.rank),
                     MORE_LIST("turn", dims, Attr, random.turn, random.loops),
                     MORE("piece", int64, Attr, random.piece)}},
    [ATTR_TENSOR] = {{ONE("tensor", int, Attr, tensor)}},
    [ATTR_NAME] = {{ONE("name", str, Attr, name)}},
    [ATTR_COUNT] = {{ONE("n", int64, Attr, count)}},
    [ATTR_SCAN] = {{ONE("carries", int, Attr, scan.carries), ONE("slices", int, Attr, scan.slices),
                    ONE("totals", int, Attr, scan.totals),
                    ONE("reverse", bool, Attr, scan.reverse)}},
};

const Record run_record = {
    {ONE("seed", hex, RunSpec, seed), ONE("precision", str, RunSpec, precision),
     ONE("eval_every", int64, RunSpec, eval_every), ONE("save_every", int64, RunSpec, save_every),
     ONE("log_every", int64, RunSpec, log_every), ONE("keep", int64, RunSpec, keep),
     ONE("alternate", bool, RunSpec, alternate), ONE("memory", int64, RunSpec, memory),
     ONE("micro", int64, RunSpec, micro)}};

const Record tokenizer_record = {
    {ONE("name", str, TokenizerSpec, name), ONE("kind", str, TokenizerSpec, kind),
     ONE("path", str, TokenizerSpec, path), ONE("merges", str, TokenizerSpec, merges),
     ONE("from", str, TokenizerSpec, from), ONE("size", int64, TokenizerSpec, size),
     ONE("hash", hex, TokenizerSpec, hash)}};

const Record data_record = {
    {ONE("stage", str, DataSpec, stage), ONE("input", int, DataSpec, input)}};

const Record tensor_record = {{ONE("like", int, Tensor, like), ONE("fill", double, Tensor, fill)}};

const Record entry_record = {{ONE("name", str, Entry, name), ONE("data", int, Entry, data),
                              ONE("batch", int64, Entry, batch), ONE("steps", int64, Entry, steps),
                              ONE("epochs", int64, Entry, epochs)}};

const char *const stage_names[4] = {"built", "primitive", "whole_set", "fused"};
const char *const out_kind_names[OUT_KINDS] = {"value", "state", "loss", "report",
                                               "text",  "watch", "image"};
const char *const tensor_kind_names[TENSOR_KINDS] = {"param", "state", "optim", "acc",
                                                     "cache", "bank",  "scale"};
const char *const entry_kind_names[ENTRY_KINDS] = {"train",    "eval",    "sample",
                                                   "generate", "predict", "features"};
const char *const entry_graph_names[ENTRY_GRAPHS] = {"step", "logged", "ahead", "piece",
                                                     "piece_logged"};
