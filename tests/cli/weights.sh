# Matrices kept smaller: texts and losses with each, of a .upm, a .upx and the folder of a run; side by side, whatever the threads;
# what is refused.
. "$SOURCE/tests/cli/tiny"
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 5 300 6 12 >corpus/made.txt
cat >texts.upm <<'UPM'
import std.nn
import std.optim

const seq = 24
const texts = 1
const wide = 32
tokenizer tok = bytes()
data corpus = lines("corpus/*.txt") | encode(tok) | pack(seq + 1) | shuffle

word   = Embedding(tok.size, wide)
place  = Embedding(seq, wide)
attend = CausalAttention(wide, 2, seq)
feed   = FeedForward(wide, 3*wide, gelu)

fn after(x, attended) {
    x = x + attended
    return (x + feed(x)) @ transpose(word.weight)
}
fn logits(ids: i32[B, T]) {
    x = word(ids) + place(iota(T))
    return after(x, attend(x))
}
fn next(token: i32[B, 1], at: i32) {
    x = word(token) + place(at)
    return after(x, attend.next(x, at))[:, 0]
}
train on corpus batch 8 steps 150 {
    minimize mean(cross_entropy(logits(ids[:, :-1]), ids[:, 1:])) with adam(5e-3)
}
eval on corpus { report loss = mean(cross_entropy(logits(ids[:, :-1]), ids[:, 1:])) }
generate(tok) batch texts { return next(token, at) }
run { seed = 3 }
UPM
uptc run texts.upm --quiet
uptc compile texts.upm -D texts=11 -o eleven.upx >log

echo "=== losses"
loss() { uptc eval texts.upm --json "$@" | sed 's/.*"loss":\([0-9.]*\).*/\1/'; }
whole=$(loss)
near "f32" "$(loss --weights f32)" "$whole" 1e-6
near "bf16" "$(loss --weights bf16)" "$whole" 1e-3
near "int8" "$(loss --weights int8)" "$whole" 1e-2
[ "$(loss --weights int8)" != "$(loss --weights bf16)" ] || echo "nothing was rounded"

echo "=== texts"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sed -n "${i}s/ .*//p" corpus/made.txt; done >prompts
for weights in f32 bf16 int8; do
    options="--tokens 12 --weights $weights"
    uptc generate texts.upm --prompts prompts $options >$weights
    wc -l <$weights
    uptc generate eleven.upx --dir runs/texts --prompts prompts $options | cmp - $weights && echo "eleven side by side: the same"
    uptc generate runs/texts --prompts prompts $options --threads 1 | cmp - $weights && echo "on one thread: the same"
done
uptc generate texts.upm --prompts prompts --tokens 12 | cmp - f32 && echo "f32 is what is meant where nothing is said"
cmp -s f32 int8 || echo "int8 draws others"

echo "=== what is refused"
try uptc generate texts.upm --weights int4
try uptc eval texts.upm --weights half
try uptc generate texts.upm -D wide=16 --weights int8 --prompt a
head -c 20000 runs/texts/last.safetensors >cut.safetensors
try uptc generate texts.upm --checkpoint cut.safetensors --weights bf16 --prompt a
