# Scores in strips of rows, batches in pieces, and both: the same numbers are drawn and the same indices counted as in the whole, so losses
# differ by the order of sums alone. Strips are cut by samples, by rows within them (1000 bytes), or by rows alone (a sample a piece).
. "$SOURCE/tests/run/common.inc"
yes tick | head -n 16 >x.txt
cat >scores.upm <<'UPM'
import std.nn
import std.optim
tokenizer tok = bytes()
data ticks = lines("x.txt") | encode(tok) | pad(8)
q = Linear(8, 8)
train on ticks batch 4 steps 3 {
    x = uniform([B, 64, 8], -1, 1) + 0.1 * rearrange(normal([8, 64, B])[e, t, b] -> [b, t, e])
    score = einsum(q(x)[b, t, e], x[b, s, e] -> [b, t, s])
    third = iota(B)[:, None, None] == 2
    weight = dropout(softmax(score over -1), 0.3) * where(third, 3.0, 1.0)
    mixed = einsum(weight[b, t, s], x[b, s, e] -> [b, t, e])
    loss = mean((mixed - cast(randint([B, 1, 1], 3), f32))^2)
    minimize loss with sgd(0.1)
    report loss
}
UPM
try() { # try NAME STRIP PIECE
    UPT_STRIP=$2 uptc compile scores.upm --micro "$3" -o scores.upx >/dev/null
    echo "$1: $(UPT_STRIP=$2 uptc compile scores.upm --micro "$3" --emit=fused | grep -c 'graph "strip"') loops"
    uptc run scores.upx --dir "$1" --log-every 1 --quiet
    for step in 1 2 3; do near "$1 $step" "$(metric "$1" $step loss)" "$(metric whole $step loss)" 1e-6; done
}
try whole 1000000000000 4
try rows 1000 4
try samples 30000 4
try pieces 1000000000000 2
try rows-of-pieces 1000 2
try rows-of-one 3000 1
