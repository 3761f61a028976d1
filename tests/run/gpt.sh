# models/decoder.upm and bench/gpt_char.upm, small, on a made-up text: no position sees those after it, the loss starts near that of knowing
# nothing and falls far below what the letters' frequencies alone give.
. "$SOURCE/tests/run/common.inc"
text 4 400 3 9 >train.txt
text 5 100 3 9 >valid.txt

cat >causal.upm <<UPM
import std.nn
import std.optim
import "$SOURCE/models/decoder.upm" as model
const seq = 16
tokenizer tok = characters(from = "train.txt")
data text = text("valid.txt") | encode(tok) | pack(seq)
gpt = model.Gpt(tok.size, 32, 2, 4, seq)
train on text batch 8 steps 20 { minimize model.next_loss(gpt, ids) with adamw(1e-2) }
eval on text batch 8 {
    before = gpt(ids)
    after = gpt(where(iota(seq)[None, :] < 8, ids, 9))
    apart = abs(before - after)
    report early = max(apart[:, :8]), late = max(apart[:, 8:])
    report off = model.next_loss(gpt, ids) - mean(cross_entropy(before[:, :-1], ids[:, 1:]))
}
UPM
uptc run causal.upm --quiet
near "what later ids change of earlier logits" "$(metric runs/causal 20 eval.early)" 0 1e-5
awk -v late="$(metric runs/causal 20 eval.late)" 'BEGIN { print (late > 0.1 ? "later logits change" : "later logits change by " late) }'
near "the loss is that of the next ids: off" "$(metric runs/causal 20 eval.off)" 0 1e-5

uptc run "$SOURCE/bench/gpt_char.upm" -D d=32 -D layers=2 -D seq=32 -D length=120 -D warmup=10 --dir run --quiet
size=$(sed 's/./&\n/g' train.txt | sort -u | wc -l) # letters, the newline as an empty line, and five special pieces
near "the loss at first" "$(metric run 1 loss)" "$(awk -v n=$((size + 5)) 'BEGIN { print log(n) }')" 0.03
entropy=$(sed 's/./&\n/g' valid.txt | sort | uniq -c | awk '{ n += $1; s += $1 * log($1) } END { print log(n) - s / n }')
awk -v got="$(metric run 120 eval.loss)" -v than="$entropy" 'BEGIN { print (got != "" && got < than - 0.5 ? "it learned" : got ", not far below " than) }'
