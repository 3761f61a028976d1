# micro: a batch computed in pieces trains as the whole one does, goes on bit for bit after it was stopped, whatever the threads,
# and can be profiled and searched for what made a NaN.
. "$SOURCE/tests/cli/tiny"
make_tiny
. "$SOURCE/tests/run/common.inc"
cat >pieces.upm <<'UPM'
import std.nn
import std.optim
tokenizer tok = bytes()
data corpus = lines("corpus/*.txt") | encode(tok) | pad(16)
word = Embedding(tok.size, 8)
out  = Mlp([8, 16, tok.size], gelu)
train on corpus batch 8 steps 12 {
    hit = bernoulli(0.3, [B, 16])
    loss = masked_mean(cross_entropy(out(dropout(word(where(hit, 1, ids)), 0.1)), ids), hit)
    minimize loss with adamw(1e-2), clip = 1.0
    report loss, hidden = sum(cast(hit, i32))
    report text words = decode(tok, ids[:2])
}
run { seed = 3; log every 1; save every 4 }
UPM

echo "=== the same losses"
uptc run pieces.upm --quiet --dir whole
for n in 4 2 1; do
    uptc run pieces.upm --quiet --dir by$n --micro $n
    for step in 1 6 12; do near "$n at a time, step $step" "$(metric by$n $step loss)" "$(metric whole $step loss)" 1e-5; done
    same "hidden words" "$(metric whole 12 hidden)" "$(metric by$n 12 hidden)"
done

echo "=== the same bytes on one thread, and after stopping"
uptc run pieces.upm --quiet --dir one --micro 2 --threads 1
uptc run pieces.upm --quiet --dir parts --micro 2 --steps 5
uptc run pieces.upm --quiet --dir parts --micro 2 2>/dev/null
for dir in one parts; do cmp by2/last.safetensors $dir/last.safetensors && echo "$dir: the same"; done

echo "=== a program that says it"
sed 's/seed = 3/seed = 3; micro = 2/' pieces.upm >said.upm
uptc compile said.upm --check-each -o said.upx
uptc run said.upx --quiet --dir said && same "checkpoint" "$(tensors by2/last.safetensors | cksum)" "$(tensors said/last.safetensors | cksum)"
try uptc run said.upx --micro 4
try uptc run said.upm --micro 3
try uptc run said.upm --quiet --dir none --micro 8 --steps 1

echo "=== a profile"
uptc run said.upx --dir profiled --profile=3 | grep -oE "^ +(forward|backward|update) .*%" | sed -E "s, +[0-9.]+.*,,"

echo "=== what made a NaN, in the second piece of a step"
sed 's/loss = /third = where(iota(B) == 5, 3 - step, 1)\n    loss = mean(log(third)) + /' said.upm >nan.upm
try uptc run nan.upm --quiet
try uptc run nan.upm --quiet --find-nan
