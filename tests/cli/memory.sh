. "$SOURCE/tests/cli/tiny"

echo "=== the peak is known before the run"
cat >wide.upm <<'UPM'
import std.nn
import std.optim

tokenizer tok = bytes()
data ticks = lines("x.txt") | encode(tok) | pad(4)
param w[4096, 1024] = normal(0.02)

train on ticks batch 512 steps 12 {
    x = uniform([B, 4096])
    loss = sum(gelu(x @ w)^2)
    minimize loss with adamw(1e-3)
}
UPM
yes tick | head -n 512 >x.txt
uptc compile wide.upm --emit=memory

# What the process grows by, from that print on, against what it said; within a tenth, which is for the library of products
# and for stacks.
uptc run wide.upm --fit 1G >said &
run=$!
while held=$(grep VmHWM /proc/$run/status 2>/dev/null); do last=$held; sleep 0.02; done
wait $run
echo "$last" | cat said - | awk '
    function bytes(s) { return s * (s ~ /G/ ? 1024 ^ 3 : s ~ /M/ ? 1024 ^ 2 : 1024) }
    /^memory:/ { all = bytes($2); own = bytes($NF) }
    /^VmHWM/ { share = ($2 * 1024 - own) / all; print (share > 0.9 && share < 1.1 ? "so it is" : "it grew by " share " of that") }'
