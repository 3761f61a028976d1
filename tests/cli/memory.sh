# Memory: what a run will take is known before, and is what it takes; a limit holds, with the same bits.
. "$SOURCE/tests/cli/tiny"

echo "=== the peak is known before the run"
cat >wide.upm <<'UPM'
import std.nn
import std.optim

tokenizer tok = bytes()
data ticks = lines("x.txt") | encode(tok) | pad(4)
param w[4096, 4096] = normal(0.02)

train on ticks batch 512 steps 3 {
    x = uniform([B, 4096])
    loss = sum(gelu(x @ w)^2)
    minimize loss with adamw(1e-3)
}
UPM
yes tick | head -n 512 >x.txt
uptc compile wide.upm --emit=memory

# What the process grows by, from that print to its end, against what it said; within a twentieth, which is for scratch of
# products and for stacks: otherwise it says so. ThreadSanitizer takes several times what the program does, which tells nothing.
command time -q -o peak -f '%M' uptc run wide.upm --fit 1G >said
[ -n "${TSAN_OPTIONS-}" ] || awk '
    function bytes(s) { return s * (s ~ /G/ ? 1024 ^ 3 : s ~ /M/ ? 1024 ^ 2 : 1024) }
    FILENAME == "peak" { peak = $1 * 1024 }
    /^memory:/ { all = bytes($2); own = bytes($NF) }
    END { share = (peak - own) / all; if (share < 0.95 || share > 1.05) print "it grew by " share " of that" }' peak said

echo "=== a limit"
cat >deep.upm <<'UPM'
import std.nn
import std.optim

tokenizer tok = bytes()
data ticks = lines("x.txt") | encode(tok) | pad(4)
norm[6] = LayerNorm(64)
feed[6] = FeedForward(64, 256, gelu)

train on ticks batch 256 steps 4 {
    x = normal([B, 64])
    y = x
    for i in range(6) { y = y + dropout(feed[i](norm[i](y)), 0.1) }
    loss = mean((y - 1)^2)
    minimize loss with adamw(1e-3)
    report loss
}
UPM
mkdir whole 100M 5M 4M
try uptc compile deep.upm -o whole/deep.upx
for size in 100M 5M 4M; do try uptc compile deep.upm --fit $size -o $size/deep.upx; done
try uptc compile deep.upm --fit 2M
sed '1i run { memory = 3M }' deep.upm >said.upm
try uptc check said.upm
try uptc compile said.upm --fit 4M
uptc compile said.upm --fit 4M --emit=memory

# The very same bits, and a run may go on with another limit.
for size in whole 100M 5M 4M; do
    uptc run $size/deep.upx --dir $size --quiet
    cmp whole/last.safetensors $size/last.safetensors && echo "the same"
done
uptc run deep.upm --fit 4M --dir whole --steps 6 | sed 's/itself has .*/itself has N/' | steady

echo "=== a batch in pieces, where that is not enough"
. "$SOURCE/tests/run/common.inc"
try uptc compile deep.upm --fit 3230k -o pieces.upx
uptc run pieces.upx --dir pieces --quiet
uptc run deep.upm --dir alone --quiet
near "loss of step 4" "$(metric pieces 4 loss)" "$(metric alone 4 loss)" 1e-5
try uptc compile deep.upm --fit 3230k --micro 128 | sed 's/least .*/least .../'

echo "=== what costs next to nothing is computed again where values need much: less than 64 times as much for 64 times the batch"
uptc compile deep.upm --emit=memory | sed -n '/^values/p;/^all/p'
sed 's/batch 256/batch 16384/' deep.upm >wide.upm
uptc compile wide.upm --emit=memory | sed -n '/^values/p;/^all/p'
try uptc compile wide.upm --fit 2G

echo "=== scores of long texts are nowhere whole, with dropout either: twice the text takes about twice the memory"
yes tick | head -n 8 >bench.txt
for mask in long padded; do
    for seq in 1024 2048 4096; do
        uptc compile "$SOURCE/bench/$mask.upm" -D seq=$seq -D drop=0.1 --emit=memory | sed -n "s/^values *\([0-9.A-Z]*\).*/$mask $seq: \1/p"
    done
done
