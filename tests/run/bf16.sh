# precision = bf16: trains as f32 does, in f32 masters; the same bits whatever the threads, stopped and gone on with, with reports
# or without; checkpoints go from one precision to the other. UPT_BF16 has it computed on any processor.
. "$SOURCE/tests/run/common.inc"
export UPT_BF16=1
mkdir corpus
text 5 400 6 12 >corpus/made.txt
cat >letters.upm <<'UPM'
import std.nn
import std.optim
tokenizer tok = bytes()
data corpus = lines("corpus/*.txt") | encode(tok) | pad(17)
letter = Embedding(tok.size, 32)
attend = CausalAttention(32, 2, 16)
feed   = FeedForward(32, 64, gelu)
norm   = LayerNorm(32)
fn next_loss(ids: i32[B, T]) {
    x = letter(ids[:, :-1])
    x = x + attend(x)
    x = x + feed(norm(x))
    return mean(cross_entropy(x @ transpose(letter.weight), ids[:, 1:]))
}
train on corpus batch 8 steps 60 {
    loss = next_loss(ids)
    minimize loss with adamw(3e-3), clip = 1.0
    report loss
}
eval on corpus { report loss = next_loss(ids) }
run { seed = 2; save every 20; keep = 4; log every 1 }
UPM
uptc check letters.upm --precision bf16 --check-each && echo "every pass keeps what it means"
uptc run letters.upm --quiet --dir f32
uptc run letters.upm --quiet --dir bf16 --precision bf16 --threads 2
cmp -s f32/last.safetensors bf16/last.safetensors || echo "other numbers than f32"
near "loss" "$(metric bf16 60 loss)" "$(metric f32 60 loss)" 5e-3
near "evaluated" "$(metric bf16 60 eval.loss)" "$(metric f32 60 eval.loss)" 5e-3
uptc show bf16/last.safetensors | grep -c 'f32' >bf16.types
uptc show f32/last.safetensors | grep -c 'f32' | cmp - bf16.types && echo "masters and states are f32"

uptc run letters.upm --quiet --dir one --precision bf16 --threads 1
cmp one/last.safetensors bf16/last.safetensors && echo "1 and 2 threads: the same bytes"
uptc run letters.upm --quiet --dir silent --precision bf16 --log-every 0
cmp silent/last.safetensors bf16/last.safetensors && echo "logged or not: the same bytes"
mkdir stopped
cp bf16/step-40.safetensors stopped/last.safetensors
uptc run letters.upm --quiet --dir stopped --precision bf16
cmp stopped/last.safetensors bf16/last.safetensors && echo "gone on with: the same bytes"
uptc run letters.upm --quiet --dir pieces --precision bf16 --micro 2
near "in pieces" "$(metric pieces 60 loss)" "$(metric bf16 60 loss)" 2e-3

echo "=== from one precision to the other"
mkdir to-f32 to-bf16
cp bf16/last.safetensors to-f32/
cp f32/last.safetensors to-bf16/
for to in f32 bf16; do
    uptc run letters.upm --dir to-$to --precision $to --steps 70 2>&1 | grep -v '^step\|^done'
    uptc run letters.upm --quiet --dir $to --precision $to --steps 70 2>/dev/null
    near "at last in $to" "$(metric to-$to 70 loss)" "$(metric $to 70 loss)" 5e-3
done
