# Two train entries as a person sees them: one after the other, and by turns; the flag wins over the program.
. "$SOURCE/tests/cli/tiny"
make_tiny
sed -i '/^run/d' tiny.upm
cat >>tiny.upm <<'UPM'
train on corpus batch 4 steps 3 {
    most = mean(cast(ids, f32))
    minimize mean((out(word(ids)) - 1)^2) over out with adamw(1e-2)
    report most
}
run { seed = 3; log every 2; eval every 0; order = alternate }
UPM
sed -i 's/batch 8 steps 20/batch 8 steps 5/; s/; eval every 0//' tiny.upm
try uptc compile tiny.upm
try uptc run tiny.upx | steady
try uptc run tiny.upx --order follow --dir follow --log-every 1 --json | steady
try uptc run tiny.upx --order follow --dir follow
try uptc run tiny.upx --order follow --dir follow --steps 6 | steady
try uptc show follow/last.safetensors | grep position
sed -i 's/; order = alternate//' tiny.upm
uptc run tiny.upm --dir a --quiet --order alternate && cmp a/last.safetensors runs/tiny/last.safetensors && echo "as the program said it"
