# What made a number that is none: programs that go wrong in ways that people meet, first without and then with --find-nan. Figures
# that depend on the processor are blanked.
. "$SOURCE/tests/cli/tiny"
make_tiny
program() {
    { printf '%s\n' 'import std.nn' 'import std.optim' 'tokenizer tok = bytes()'
      printf '%s\n' 'data corpus = lines("corpus/*.txt") | encode(tok) | pad(16)' 'word = Embedding(tok.size, 8)'
      cat; } >"$1.upm"
}
blank() { sed -E 's/(between|and|there it is) -?[0-9][-+.e0-9]*/\1 N/g; s/has [0-9]+ of ([0-9]+) elements/has N of \1 elements/; s/first at \[.*/first at [...]/'; }
explain() {
    program "$1"
    try uptc run "$1.upm" --quiet
    try uptc run "$1.upm" --quiet --find-nan | blank
    rm -rf runs
}

echo "=== the logarithm of 0, in a function"
explain log <<'UPM'
fn surprise(p) = -log(p)
train on corpus batch 4 steps 9 {
    p = where(step < 2, 0.5, maximum(mean(word(ids) over 1), 0))
    loss = mean(surprise(p))
    minimize loss with sgd(1e-3)
}
UPM

echo "=== 0 / 0"
explain zero <<'UPM'
out = Linear(8, 1)
train on corpus batch 4 steps 9 {
    fade = where(step < 3, 1.0, 0.0)
    x = tanh(word(ids)) * fade
    y = (2 + tanh(word(ids[:, ::-1]))) * fade
    loss = mean(tanh(out(x / y)))
    minimize loss with sgd(1e-9)
}
UPM

echo "=== attention without a maximum taken off"
explain attention <<'UPM'
train on corpus batch 4 steps 9 {
    x = 1 + tanh(word(ids))
    score = einsum(x[b, t, e], x[b, s, e] -> [b, t, s]) * (1 + 50 * step)
    weight = exp(score)
    weight = weight / sum(weight over -1)
    loss = mean((weight @ x) ^ 2)
    minimize loss with adamw(1e-3)
}
UPM

echo "=== steps that are far too large"
explain rate <<'UPM'
out = Mlp([8, 16, tok.size], gelu)
train on corpus batch 4 steps 99 {
    loss = mean(cross_entropy(out(word(ids)), ids))
    minimize loss with sgd(1e12)
}
UPM

echo "=== a gradient, while the loss is fine"
explain root <<'UPM'
train on corpus batch 4 steps 9 {
    x = word(ids)
    loss = mean(sqrt(sum((x - word(ids)) ^ 2 over 2)) + x ^ 2)
    minimize loss with sgd(1e-3)
}
UPM

echo "=== a rule of one's own"
explain update <<'UPM'
rule broken(lr) {
    fn (w, g, t) { return w - lr * g / (t - 3) }
}
train on corpus batch 4 steps 9 {
    loss = mean(word(ids) ^ 2)
    minimize loss with broken(1e-3)
}
UPM

echo "=== infinities that do no harm are not named"
explain guarded <<'UPM'
train on corpus batch 4 steps 9 {
    x = word(ids)
    live = cast(iota(16) < 8, f32)
    score = einsum(x[b, t, e], x[b, s, e] -> [b, t, s]) + log(live)
    weight = softmax(score over -1)
    part = where(live > 0, 1 / live, 0)
    loss = mean((weight @ x) * part[:, None] + log(3 - step))
    minimize loss with adamw(1e-3)
}
UPM

echo "=== from the last checkpoint, and the same bits"
try uptc run zero.upm --quiet --save-every 2
try uptc run zero.upm --find-nan 2>&1 | grep -v "^step" | blank
rm -rf runs
uptc compile tiny.upm 2>/dev/null
uptc run tiny.upx --dir plain --quiet --threads 1
uptc run tiny.upx --dir watched --quiet --find-nan --threads 2
cmp plain/last.safetensors watched/last.safetensors && echo "the same bytes"
for threads in 1 2; do uptc run attention.upm --quiet --find-nan --threads $threads --dir out$threads 2>said$threads; done
cmp said1 said2 && echo "the same words"

echo "=== a recurrence that grows"
explain loop <<'UPM'
fn grow(h, x) {
    h = exp(h + x + 1)
    return (h, h)
}
train on corpus batch 4 steps 9 {
    x = tanh(word(ids)) * 1e-3
    loss = mean(scan(0 * x[:, 0], x over 1, grow)[1])
    minimize loss with sgd(1e-3)
}
UPM
