# A run that is killed at ten random moments and resumed each time ends in the same bytes as one that is left alone; so
# does one with another number of threads.
mkdir corpus
awk 'BEGIN { srand(7); for (d = 0; d < 60; d++) { for (s = 0; s < 12; s++) { n = 4 + int(rand() * 9)
    for (w = 0; w < n; w++) printf "%s%c%c", w ? " " : "", 97 + int(rand() * 9), 97 + int(rand() * 4); print "." }
    print "" } }' >corpus/made.txt
cat >tiny.upm <<'UPM'
import std.nn
import std.optim
import std.corrupt

tokenizer tok = wordpiece("vocab.txt", 60, from = "corpus/*.txt")
data corpus = documents("corpus/*.txt") | encode(tok) | sentence_pairs(24) | shuffle

word   = Embedding(tok.size, 32)
attend = SelfAttention(32, 2)
out    = Mlp([32, 64, tok.size], gelu)

train on corpus batch 8 steps 300 {
    (noisy, hit) = mask_tokens(ids, tok)
    x = word(noisy)
    x = x + dropout(attend(x, ids != tok.pad), 0.1)
    loss = masked_mean(cross_entropy(out(x), ids), hit)
    minimize loss with adamw(warmup_linear(1e-2, 20)), clip = 1.0
    report loss
}
run { seed = 3; save every 20; log every 7 }
UPM
uptc compile tiny.upm 2>/dev/null
begin=$(date +%s%N)
uptc run tiny.upx --dir whole --quiet --threads 2
took=$((($(date +%s%N) - begin) / 1000000))
uptc run tiny.upx --dir one --quiet --threads 1
cmp whole/last.safetensors one/last.safetensors && echo "1 and 2 threads: the same bytes"

seed=$(date +%N | sed 's/^0*//')
for i in 1 2 3 4 5 6 7 8 9 10; do
    wait=$(awk -v s="$seed" -v i="$i" -v t="$took" 'BEGIN { srand(s + i); print rand() * t / 2500 }')
    uptc run tiny.upx --dir killed --quiet --threads 2 2>>said &
    pid=$!
    sleep "$wait"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
grep -v 'Unable to get registers from thread' said # LeakSanitizer's, of a run killed at its very end
uptc run tiny.upx --dir killed --quiet --threads 2
cmp whole/last.safetensors killed/last.safetensors && echo "killed ten times: the same bytes" || echo "seed $seed"
strip() { sed 's/, *"[a-z_/]*per_second": *[0-9.e+]*//; s/, *"rate": *[0-9.e+]*//' "$1"; }
strip whole/metrics.jsonl >a
strip killed/metrics.jsonl >b
cmp a b && echo "and the same metrics"
ls killed
