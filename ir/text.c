/* What the text form calls things: the records of attributes and of the program's parts, and the
 * words for kinds. */
#include "ir/text.h"

#define AT(T, m) offsetof(T, m)

const Record attr_record[ATTR_SCAN + 1] = {
    [ATTR_CONST] = {{{"value", KEY_double, AT(Attr, num), 0}}},
    [ATTR_AXES] = {{{"axes", KEY_mask, AT(Attr, axes), 0}}},
    [ATTR_AXIS] = {{{"axis", KEY_int, AT(Attr, axis), 0}}},
    [ATTR_TYPE] = {{{"to", KEY_dtype, AT(Attr, dtype), 0}}},
    [ATTR_SHAPE] = {{{"dim", KEY_dims, AT(Attr, shape.dim), AT(Attr, shape.rank)}}},
    [ATTR_PERM] = {{{"perm", KEY_axes, AT(Attr, perm.axis), AT(Attr, perm.rank)}}},
    [ATTR_SLICE] = {{{"start", KEY_dims, AT(Attr, slice.start), AT(Attr, slice.rank)},
                     {"step", KEY_dims, AT(Attr, slice.step), AT(Attr, slice.rank)},
                     {"size", KEY_dims, AT(Attr, slice.size), AT(Attr, slice.rank)}}},
    [ATTR_PAD] = {{{"lo", KEY_dims, AT(Attr, pad.lo), AT(Attr, pad.rank)},
                   {"hi", KEY_dims, AT(Attr, pad.hi), AT(Attr, pad.rank)},
                   {"gap", KEY_dims, AT(Attr, pad.gap), AT(Attr, pad.rank)}}},
    [ATTR_DOT] = {{{"a", KEY_labels, AT(Attr, dot.a), 0},
                   {"b", KEY_labels, AT(Attr, dot.b), 0},
                   {"out", KEY_labels, AT(Attr, dot.out), 0},
                   {"round", KEY_flag, AT(Attr, dot.round), 0},
                   {"halve", KEY_flag, AT(Attr, dot.halve), 0}}},
    [ATTR_WINDOW] = {{{"dim", KEY_dims, AT(Attr, window.dim), AT(Attr, window.rank)},
                      {"size", KEY_dims, AT(Attr, window.size), AT(Attr, window.rank)},
                      {"step", KEY_dims, AT(Attr, window.step), AT(Attr, window.rank)},
                      {"dilate", KEY_dims, AT(Attr, window.dilate), AT(Attr, window.rank)},
                      {"axis", KEY_int, AT(Attr, window.axis), 0}}},
    [ATTR_PLACE] = {{{"place", KEY_hex, AT(Attr, random.place), 0},
                     {"below", KEY_int64, AT(Attr, random.below), 0}}},
    [ATTR_TENSOR] = {{{"tensor", KEY_int, AT(Attr, tensor), 0}}},
    [ATTR_NAME] = {{{"name", KEY_str, AT(Attr, name), 0}}},
    [ATTR_COUNT] = {{{"n", KEY_int64, AT(Attr, count), 0}}},
    [ATTR_SCAN] = {{{"carries", KEY_int, AT(Attr, scan.carries), 0},
                    {"slices", KEY_int, AT(Attr, scan.slices), 0},
                    {"totals", KEY_int, AT(Attr, scan.totals), 0},
                    {"reverse", KEY_bool, AT(Attr, scan.reverse), 0}}},
};

const Record run_record = {{{"seed", KEY_hex, AT(RunSpec, seed), 0},
                            {"precision", KEY_str, AT(RunSpec, precision), 0},
                            {"eval_every", KEY_int64, AT(RunSpec, eval_every), 0},
                            {"save_every", KEY_int64, AT(RunSpec, save_every), 0},
                            {"log_every", KEY_int64, AT(RunSpec, log_every), 0},
                            {"keep", KEY_int64, AT(RunSpec, keep), 0},
                            {"alternate", KEY_bool, AT(RunSpec, alternate), 0},
                            {"memory", KEY_int64, AT(RunSpec, memory), 0},
                            {"micro", KEY_int64, AT(RunSpec, micro), 0}}};

const Record tokenizer_record = {{{"name", KEY_str, AT(TokenizerSpec, name), 0},
                                  {"kind", KEY_str, AT(TokenizerSpec, kind), 0},
                                  {"path", KEY_str, AT(TokenizerSpec, path), 0},
                                  {"merges", KEY_str, AT(TokenizerSpec, merges), 0},
                                  {"from", KEY_str, AT(TokenizerSpec, from), 0},
                                  {"size", KEY_int64, AT(TokenizerSpec, size), 0},
                                  {"hash", KEY_hex, AT(TokenizerSpec, hash), 0}}};

const Record data_record = {
    {{"stage", KEY_str, AT(DataSpec, stage), 0}, {"input", KEY_int, AT(DataSpec, input), 0}}};

const Record tensor_record = {
    {{"like", KEY_int, AT(Tensor, like), 0}, {"fill", KEY_double, AT(Tensor, fill), 0}}};

const Record entry_record = {{{"name", KEY_str, AT(Entry, name), 0},
                              {"data", KEY_int, AT(Entry, data), 0},
                              {"batch", KEY_int64, AT(Entry, batch), 0},
                              {"steps", KEY_int64, AT(Entry, steps), 0},
                              {"epochs", KEY_int64, AT(Entry, epochs), 0}}};

const char *const stage_names[4] = {"built", "primitive", "whole_set", "fused"};
const char *const out_kind_names[OUT_KINDS] = {"value", "state", "loss", "report",
                                               "text",  "watch", "image"};
const char *const tensor_kind_names[TENSOR_KINDS] = {"param", "state", "optim", "acc",
                                                     "cache", "bank",  "scale"};
const char *const entry_kind_names[ENTRY_KINDS] = {"train",    "eval",    "sample",
                                                   "generate", "predict", "features"};
const char *const entry_graph_names[ENTRY_GRAPHS] = {"step", "logged", "ahead", "piece",
                                                     "piece_logged"};
