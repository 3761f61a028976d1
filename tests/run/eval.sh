# What `eval` reports is of the whole set, however it is cut into batches: in sevens (the last one incomplete), one by one, and all at
# once; and sums, shares and extremes are those that awk counts in the text.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 4 100 2 5 >corpus/a.txt
cat >eval.upm <<'UPM'
import std.nn
import std.optim
import std.metric
const samples = 7
tokenizer tok = bytes()
data text = lines("corpus/a.txt") | encode(tok) | pad(20)
letter = Embedding(tok.size, 6, std = 0.5)
head   = Linear(6, tok.size)
param offset = fill(0.25)
train on text batch 10 steps 5 {
    loss = mean(cross_entropy(head(letter(ids[:, :-1])), ids[:, 1:]))
    minimize loss over letter, head with sgd(0.5)
    minimize 0 * offset with sgd(1)
}
eval on text batch samples {
    real = ids[:, 1:] != tok.pad
    logits = head(letter(ids[:, :-1]))
    score = cross_entropy(logits, ids[:, 1:])
    report loss = masked_mean(score, real), perplexity = exp(masked_mean(score, real))
    report right = masked_accuracy(logits, ids[:, 1:], real), worst = max(where(real, score, 0)), best = min(where(real, score, 99))
    report unigram = unigram_entropy(ids[:, 1:], real, tok.size)
    report letters = sum(ids == 97), longest = max(sum(cast(ids < 256, i32) over 1)), any_q = any(ids == 113), all_begin = all(ids[:, 0] == tok.cls)
    report rows = sum(mean(ones_like(score) over 1)), product = sum(transpose(logits[:, 0]) @ logits[:, 1]) / 1000
    report offset = mean(score + offset) - mean(score), outer = sum(mean(logits over [0, 1]) * mean(logits[:, 0] over 0))
}
run { seed = 2 }
UPM
uptc run eval.upm --quiet
for n in 7 1 64 100 128; do
    uptc eval eval.upm -D samples=$n --json | tr -d '{}" ' | tr ',' '\n' >batch$n
    wc -l <batch$n
done
paste -d: batch7 batch1 batch64 batch100 batch128 | awk -F: '{
    for (i = 4; i <= NF; i += 2) {
        apart = $i - $2; if (apart < 0) apart = -apart
        scale = $2 < 0 ? -$2 : $2; if (scale < 1) scale = 1
        if ($(i - 1) != $1 || apart > 2e-6 * scale || $2 == "" || $i == "null") { print $1 ": " $2 " in sevens, " $i; next }
    }
    print $1 ": as in any batches"
}'
value() { sed -n "s/^$1://p" batch7; }
awk '{ line = substr($0, 1, 18); letters += gsub(/a/, "", line); n = length($0) < 18 ? length($0) : 18; if (n > longest) longest = n }
    END { print letters, longest, NR }' corpus/a.txt >counted
read -r letters longest rows <counted
near letters "$(value letters)" "$letters" 0
near longest "$(value longest)" "$longest" 0
near rows "$(value rows)" "$rows" 1e-6
near offset "$(value offset)" 0.25 1e-6
near any "$(value any_q)" 0 0
near all "$(value all_begin)" 1 0
