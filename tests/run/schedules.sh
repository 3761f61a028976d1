# Every schedule at every step of a run of 20, against its formula in awk.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 1 40 3 6 >corpus/a.txt
cat >trial.upm <<'UPM'
import std.optim
tokenizer tok = bytes()
data pace = lines("corpus/a.txt") | encode(tok) | pad(4)
param w = fill(1)
train on pace batch 4 steps 20 {
    minimize w^2 with sgd(0)
    report constant = constant(0.5), linear = linear(3, floor = 1), cosine = cosine(2, floor = 0.5),
           warmup_linear = warmup_linear(0.1, 7), warmup_cosine = warmup_cosine(0.1, 6, floor = 0.01),
           exponential = exponential(2, 0.9, 0.93), progress = progress, at = step + 0, steps = steps + 0
}
UPM
uptc run trial.upm --dir out --quiet --log-every 1
tr -d '{}"' <out/metrics.jsonl | tr ',' ' ' | awk '
function check(name, want,   got) {
    if (!match($0, " " name ":")) { print "no " name; wrong = 1; return }
    got = substr($0, RSTART + RLENGTH); sub(/ .*/, "", got)
    if (got - want > 1e-6 || want - got > 1e-6) { print name " at step " s ": " got ", not " want; wrong = 1 }
    checked++
}
function least(a, b) { return a < b ? a : b }
BEGIN { pi = atan2(0, -1); n = 20 }
{
    s = NR - 1; done = s < 6 ? 0 : (s - 6) / (n - 6)
    check("constant", 0.5)
    check("linear", 1 + 2 * (1 - s / n))
    check("cosine", 0.5 + 1.5 * 0.5 * (1 + cos(pi * s / n)))
    check("warmup_linear", 0.1 * least((s + 1) / 7, (n - s) / (n - 7)))
    check("warmup_cosine", least(0.1 * (s + 1) / 6, 0.01 + 0.09 * 0.5 * (1 + cos(pi * done))))
    check("exponential", 2 * 0.93^s < 0.9 ? 0.9 : 2 * 0.93^s)
    check("progress", s / n)
    check("at", s)
    check("steps", n)
}
END { print checked " values", wrong ? "" : "as in awk" }'
