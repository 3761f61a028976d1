# A scan is one loop whatever its length, and trains as its turns written out do: a batch in pieces has every turn written out, and so
# has a fn that changes a state. Noise in the fn is drawn anew at each place, the same whatever the threads.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 3 160 4 8 >corpus/a.txt
cat >scan.upm <<'UPM'
import std.nn
import std.optim
const T = 24
const kind = "plain"
tokenizer tok = bytes()
data corpus = lines("corpus/a.txt") | encode(tok) | pad(T) | shuffle
word = Embedding(tok.size, 8)
norm = BatchNorm(8)
low  = Gru(8, 12)
high = Lstm(12, 8)
head = Linear(8, tok.size)

fn turn(h, x) {
    h = tanh(h + dropout(x, 0.1))
    return (h, h * x)
}
fn counted(h, x) = turn(norm(h), x)
fn steep(h, x) = (h + x, grad(sum(x * h^2), h))
fn pulled(w) = fn (h, x) { return (h + x, x * grad(sum(w * x^2), w)) }
fn twice(h, x) = (h + x, scan(h, x[:, :, None] over 1, fn (a, b) { return (a * b, None) })[0])
fn along(x) {
    start = 0 * x[:, 0]
    if kind == "counted" { return scan(start, x over 1, counted)[1] }
    if kind == "steep" { return scan(start, x over 1, steep)[1] }
    if kind == "pulled" & training { return scan(start, x over 1, pulled(norm.weight))[1] }
    if kind == "twice" { return scan(start, x over 1, twice)[1] }
    if kind == "again" { return scan(start, x over 1, turn)[1] + remat(low)(x)[:, :, :8] }
    return scan(start, x over 1, turn)[1]
}
fn losses(ids: i32[B, T]) {
    x = along(word(ids[:, :-1]))
    return mean(cross_entropy(head(high(low(x))), ids[:, 1:]))
}
train on corpus batch 32 steps 30 {
    loss = losses(ids)
    minimize loss with adam(1e-2), clip = 1.0
    report loss
}
eval on corpus batch 32 { report loss = losses(ids) }
run { seed = 1 }
UPM
for kind in plain counted steep pulled twice again; do
    echo "$kind: $(uptc compile scan.upm -D kind=$kind --emit=ir | sed '/^entry eval/,$d' | sed -n '/^logged/,$p' | grep -c ' = scan ') loops"
    uptc compile scan.upm -D kind=$kind --check-each -o $kind.upx >/dev/null || echo "not so"
    uptc run $kind.upx --dir $kind --quiet --threads 2
done
for threads in 1 2; do uptc run scan.upm --dir on$threads --quiet --threads $threads; done
cmp on1/last.safetensors on2/last.safetensors && echo "1 and 2 threads: the same bytes"
uptc run scan.upm --dir pieces --quiet --micro 8
near "loss of step 30" "$(metric plain 30 loss)" "$(metric pieces 30 loss)" 1e-3
for T in 24 240; do
    uptc compile scan.upm -D T=$T --emit=grad | grep -c ' = ' >$T.lines
done
cmp 24.lines 240.lines && echo "ten times as long: the same program"
[ "$(metric plain 1 loss | cut -c1-3)" != "$(metric plain 30 loss | cut -c1-3)" ] && echo "it learns"
