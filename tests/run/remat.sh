# Layers that are computed again in the backward pass train the same, bit for bit, dropout and all.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 6 200 4 8 >corpus/a.txt
cp "$SOURCE"/tests/programs/remat.upm .
for again in true false; do
    uptc run remat.upm --dir $again --quiet -D again=$again
    uptc compile remat.upm -D again=$again --emit=fused | grep -c ' = dot ' >$again.products
done
[ "$(cat true.products)" -gt "$(cat false.products)" ] && echo "more products"
tensors true/last.safetensors >true.bytes
tensors false/last.safetensors >false.bytes
[ -s true.bytes ] && cmp true.bytes false.bytes && echo "the same bytes"
near "loss of step 30" "$(metric true 30 loss)" "$(metric false 30 loss)" 0
