# Watches: each says once what is wrong, until it recovers; the numbers are in metrics.jsonl; training is the same with them, without
# them, and a part of the batch at a time; and they come back out of a .upx.
. "$SOURCE/tests/cli/tiny"
rounded() { steady | sed -E 's/("?watch\.[a-z_]+\.2"?[: ][0-9]+\.[0-9])[0-9]+/\1/g; s/-0\.0/0.0/g'; }
for i in 1 2 3 4 5 6 7 8; do echo "line $i of a few words"; done >t.txt
cat >watched.upm <<'UPM'
import std.nn
import std.optim
import std.probe
tokenizer tok = bytes()
data text = lines("t.txt") | encode(tok) | pad(16)
word = Embedding(tok.size, 8)
head = Linear(8, tok.size)

# Bad at first, well from a third on, bad again at the end.
fn twice(x) = (mean(x), (progress < 0.3) | (progress > 0.8), "bad twice", "nothing")

# A fn that watches what it computes.
fn trained(z) {
    watch collapse(z * 0)
    return mean(cross_entropy(head(z), ids_of(z)))
}
fn ids_of(z[B, T, d]) = cast(iota_like(z[..., 0] over T), i32)

train on text batch 4 steps 20 {
    z = word(ids)
    loss = trained(z)
    minimize loss with adamw(1e-2)
    report loss
    watch collapse(z)
    watch twice(0 * z)
    watch posterior_collapse(0 * mean(z))
    watch balance(z[:, 0, 0] + 100, z[:, 0, 1])
    watch balance(z[:, 0, 0], z[:, 0, 0] + 0.001)
    watch unigram(loss + 6, ids, tok.size)
}
eval on text { report loss = trained(word(ids)) }
UPM
try uptc run watched.upm --dir a --log-every 5 | rounded
rounded <a/metrics.jsonl
uptc compile watched.upm 2>/dev/null
uptc run watched.upx --dir b --log-every 5 --quiet
rounded <b/metrics.jsonl >b.steady
rounded <a/metrics.jsonl | cmp - b.steady && echo "the same out of a .upx"
echo "run { micro = 2 }" >>watched.upm
uptc run watched.upm --dir m --log-every 5 --quiet
rounded <m/metrics.jsonl | sed 's/.*"warnings"/"warnings"/' >m.warnings
sed 's/.*"warnings"/"warnings"/' b.steady | cmp - m.warnings && echo "the same a part of the batch at a time"
sed -i 's/^run.*/run { watch = off }/' watched.upm
try uptc run watched.upm --dir off --log-every 5 | rounded
cmp a/last.safetensors off/last.safetensors && echo "watches change nothing"

echo "=== derived: of a language model alone, and only where a step has enough words"
# lm NAME LOSS [MORE]: a program that minimises it
lm() {
    cat >"$1.upm" <<UPM
import std.nn
import std.optim
import std.probe
tokenizer tok = bytes()
data text = lines("t.txt") | encode(tok) | pad(80)
word = Embedding(tok.size, 8)
head = Linear(8, tok.size)
train on text batch 4 steps 300 {
    x = head(word(ids))
    loss = $2
    minimize loss with adamw(1e-5)
    ${3:-report loss}
}
UPM
    echo "$1: $(uptc compile "$1.upm" --emit=ir | grep -c 'out watch')"
}
lm language 'mean(cross_entropy(x[:, :-1], ids[:, 1:]))'
lm same 'mean(cross_entropy(x, ids))'
lm own 'mean(cross_entropy(x, ids))' 'watch unigram(loss, ids, tok.size)'
lm masked 'masked_mean(cross_entropy(x, ids), ids != tok.pad)'
lm shares 'mean(cross_entropy(x, ids)) + mean(x^2)'
lm half 'mean(cross_entropy(x[:, :40], ids[:, :40]))'
lm places 'mean(cross_entropy(x, zeros_i32([B, 80]) + iota(80)))'
lm one 'mean(cross_entropy(x[:, 0], ids[:, 0]))'
lm weighted 'mean(cross_entropy(x, ids) * cast(ids, f32))'
lm far 'mean(logsumexp(x over -1) - take(2 * x, ids over -1))'
uptc run language.upm --quiet --log-every 100
grep -o '"step":[0-9]*\|"watch[^,]*\|"warnings.*words:' runs/language/metrics.jsonl | rounded
cp runs/language/last.safetensors with
echo "run { watch = off }" >>language.upm
uptc run language.upm --quiet --log-every 100 --dir without
grep -c watch without/metrics.jsonl
cmp with without/last.safetensors && echo "and changes nothing"
