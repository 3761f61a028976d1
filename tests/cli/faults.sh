# What stops a run by itself: a loss that is no number, and an index that a table does not have. Each names the step and the line of
# the program, and keeps the last good checkpoint.
. "$SOURCE/tests/cli/tiny"
make_tiny
sed -i 's/^word = /param fade = fill(1)\n&/; /^eval/,/^}/d; s/loss, most.*/loss\n    update fade = fade - 0.15/' tiny.upm
sed '/^    loss/s/$/ + log(fade)/' tiny.upm >nan.upm
sed '/^    loss/s/$/ + 1 \/ maximum(fade, 0)/' tiny.upm >infinite.upm
sed '/^    loss/s/noisy)/where(fade > 0, noisy, tok.size))/' tiny.upm >index.upm
sed '/^    loss/s/noisy)/where(fade > 0, noisy, -7))/' tiny.upm >below.upm

for fault in nan infinite; do
    try uptc run $fault.upm | steady
done
ls runs/nan
steady <runs/nan/metrics.jsonl
uptc show runs/nan/last.safetensors | grep step
echo "=== again"
uptc compile nan.upm >/dev/null
mkdir away && mv nan.upx away
try uptc run away/nan.upx | steady
ls runs/nan
echo "=== before the first checkpoint"
try uptc run nan.upm --dir none --save-every 0 --quiet
ls none
try uptc run nan.upm --dir json --json | steady

echo "=== an index"
try uptc run index.upm | steady
try uptc run below.upm --save-every 0 | steady
ls runs/index runs/below
sed -i 's/^    minimize.*/&\n    report pick = take(iota(5), cast(fade * 40, i32) over 0)/' tiny.upm
try uptc run tiny.upm | steady
