# Several `train` entries: one after another, or taking turns; each has its own steps, schedules and optimiser, and an evaluation at
# the end; from a checkpoint in the middle of either a run goes on to the same bytes.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 7 100 3 6 >corpus/a.txt
cp "$SOURCE/tests/programs/turns.upm" .
for order in alternate follow; do
    uptc compile turns.upm -D "order=\"$order\"" -o turns.upx >/dev/null
    uptc run turns.upx --dir $order --quiet --log-every 1 --save-every 25
    sed 's/^{"step":\([0-9]*\),"entry":"\([a-z.0-9]*\)".*/\1 \2/' $order/metrics.jsonl | paste -sd,
    mkdir cut.$order
    cp $order/step-25.safetensors cut.$order/last.safetensors
    uptc run turns.upx --dir cut.$order --quiet --log-every 1 --threads 1
    cmp $order/last.safetensors cut.$order/last.safetensors && echo "$order: resumed from step 25, the same bytes"
done
# The first entry touches neither head of the second, and starts from the same values; the entries see different data.
near "first loss" "$(metric alternate 1 fill_loss)" "$(metric follow 1 fill_loss)" 0
[ "$(metric alternate 40 judge_loss)" != "$(metric follow 40 judge_loss)" ] && echo "the order matters"
for name in filler.weight judge.layer.0.weight; do
    [ "$(tensor alternate/last.safetensors $name)" != "$(tensor follow/last.safetensors $name)" ] && echo "and for $name"
done
uptc show alternate/last.safetensors | sed -n 's/^\(optim\.[01]\.\(t\|[a-z]*\.[a-z0-9.]*weight\.m\)\) .*/\1/p; s/^position.*/&/p'
