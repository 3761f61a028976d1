# A run as a person sees it: fresh, finished, gone on with, quiet, as JSON, with its settings changed by flags, and the files
# that each leaves.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm 2>/dev/null

echo "=== fresh, again, and on"
try uptc run | steady
ls -A runs/tiny
steady <runs/tiny/metrics.jsonl
try uptc run tiny.upx
try uptc run tiny.upx --steps 10
try uptc run tiny.upm --steps 25 | steady
ls runs/tiny
steps() { sed 's/{"step":\([0-9]*\).*"\(eval\)*.*/\1 \2/' "$1" | tr '\n' ' '; }
steps runs/tiny/metrics.jsonl
echo

echo "=== whole and in two parts"
uptc run tiny.upx --dir whole --steps 25 --quiet
cmp whole/last.safetensors runs/tiny/last.safetensors && echo "the same bytes"

echo "=== --quiet, --json"
try uptc run tiny.upx --dir q --quiet
try uptc run tiny.upx --dir q
try uptc run tiny.upx --dir q --quiet
try uptc run tiny.upx --dir j --json | steady
steady <j/metrics.jsonl >a
uptc run tiny.upx --dir j2 --json | steady | cmp - a && echo "what is printed is what is kept"
try uptc run tiny.upx --dir j --json

echo "=== flags for settings"
try uptc run tiny.upx --dir s --save-every 2 --log-every 10 --eval-every 0 --keep 3 --steps 9 | steady
ls s
try uptc run tiny.upx --dir s --save-every 0 --log-every 0 --keep 1 --steps 11 | steady
ls s
try uptc run tiny.upx --dir t --threads 100000
try uptc run tiny.upx --dir z --steps 0
ls -A z
uptc run tiny.upx --dir seed4 --seed 4 --quiet && try uptc run tiny.upx --dir seed4 --seed 4
cmp -s seed4/last.safetensors q/last.safetensors || echo "another seed, other numbers"
sed -i 's/^run .*/run { seed = 3; keep = 1; save every 5 }/' tiny.upm
uptc run tiny.upm --dir k1 --quiet && ls k1
uptc run tiny.upm --dir k2 --quiet --keep 4 && ls k2
try env UPT_CPU=x86-64-v3 uptc run tiny.upm --dir p --quiet --precision bf16
try env UPT_CPU=x86-64-v3 uptc check tiny.upm --precision bf16
try env UPT_BF16=1 uptc check tiny.upm --precision bf16
UPT_BF16=1 uptc compile tiny.upm --precision bf16 --emit=ir 2>/dev/null | grep -o 'precision="[a-z0-9]*"'
UPT_BF16=1 uptc compile tiny.upm --precision bf16 -o rounded.upx >/dev/null
try env UPT_CPU=x86-64-v3 uptc run rounded.upx --dir r --quiet
try env UPT_CPU=x86-64-v3 UPT_BF16=1 uptc run rounded.upx --dir r2 --quiet
UPT_CPU=x86-64-v3 uptc run tiny.upm --dir f32 --quiet
cmp p/last.safetensors f32/last.safetensors && echo "and the same bytes"

echo "=== places for results"
touch file
for dir in file file/x /proc/none; do try uptc run tiny.upm --quiet --dir $dir; done
try uptc run tiny.upm --quiet --dir deep/er/still && ls deep/er/still
