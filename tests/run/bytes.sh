# The smallest language model: the next byte from this one by an embedding and a linear layer, whole batches, plain gradient descent.
# Its losses are those of the same model written out in awk, from the initial values in a checkpoint and the text itself.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 3 120 4 8 >corpus/a.txt
cat >bytes.upm <<'UPM'
import std.nn
import std.optim
const rate = 4.0
tokenizer tok = bytes()
data corpus = lines("corpus/a.txt") | encode(tok) | pad(24) | shuffle
letter = Embedding(tok.size, 6, std = 0.5)
head   = Linear(6, tok.size)
fn losses(ids: i32[B, T]) =
    masked_mean(cross_entropy(head(letter(ids[:, :-1])), ids[:, 1:]), ids[:, 1:] != tok.pad)
train on corpus batch 120 steps 30 {
    loss = losses(ids)
    minimize loss with sgd(rate)
    report loss
}
eval on corpus batch 32 { report loss = losses(ids) }
run { seed = 1 }
UPM
uptc run bytes.upm --dir two --quiet --threads 2 --log-every 1
uptc run bytes.upm --dir one --quiet --threads 1
cmp two/last.safetensors one/last.safetensors && echo "1 and 2 threads: the same bytes"
uptc run bytes.upm -D rate=0 --dir start --steps 1 --quiet
for name in letter.weight head.weight head.bias; do
    tensor_bytes start/last.safetensors $name | od -An -v -tf4 -w4 | sed "s/^/$name/"
done >start.txt
{ cat start.txt; od -An -v -tu1 -w1 corpus/a.txt | sed 's/^/byte/'; } | awk '
$1 == "letter.weight" { e[int(ne / 6), ne % 6] = $2; ne++ }
$1 == "head.weight" { w[int(nw / 260), nw % 260] = $2; nw++ }
$1 == "head.bias" { b[nb++] = $2 }
$1 == "byte" { # [CLS] 24 - 2 bytes [SEP]
    if ($2 == 10) { pair(258); was = "" }
    else { if (was == "") { was = 257; used = 0 }; if (used++ < 22) pair($2) }
}
function pair(to) { seen[was] = 1; count[was, to]++; n++; was = to }
END {
    for (step = 1; step <= 31; step++) {
        loss = 0
        split("", db); split("", dw); split("", de)
        for (a in seen) {
            total = 0; all = 0
            for (v = 0; v < 260; v++) {
                y = b[v]
                for (k = 0; k < 6; k++) y += e[a, k] * w[k, v]
                p[v] = exp(y); total += p[v]; all += count[a, v]
            }
            for (v = 0; v < 260; v++) {
                c = count[a, v]
                p[v] /= total
                if (c) loss -= c * log(p[v])
                g = (all * p[v] - c) / n
                db[v] += g
                for (k = 0; k < 6; k++) { dw[k, v] += g * e[a, k]; de[a, k] += g * w[k, v] }
            }
        }
        print step, loss / n
        for (v = 0; v < 260; v++) { b[v] -= 4 * db[v]; for (k = 0; k < 6; k++) w[k, v] -= 4 * dw[k, v] }
        for (a in seen) for (k = 0; k < 6; k++) e[a, k] -= 4 * de[a, k]
    }
}' >awk.txt
for n in 1 10 20 30; do near "loss of step $n" "$(metric two $n loss)" "$(sed -n "s/^$n //p" awk.txt)" 1e-5; done
near "loss after 30 steps, in batches of 32" "$(metric two 30 eval.loss)" "$(sed -n "s/^31 //p" awk.txt)" 1e-5
