# .upx files that are cut, changed, foreign, old, or far from home. Every answer is one sentence and exit code 1.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm 2>&1
size=$(wc -c <tiny.upx)

# sentence WHAT: how `uptc show damaged.upx` ends; a crash, a second line or silence is told as it is.
sentence() {
    uptc show damaged.upx >shown 2>said
    code=$?
    [ $code = 1 ] && [ "$(wc -l <said)" = 1 ] || echo "$1: exit code $code, $(cat said)"
    sed 's/[0-9][0-9]*/N/g' said >>sentences
}

# flip BYTE: damaged.upx becomes tiny.upx with another byte there.
flip() {
    old=$(od -An -tu1 -j"$1" -N1 tiny.upx)
    cp tiny.upx damaged.upx
    printf "\\$(printf %o $((255 - old)))" | dd of=damaged.upx bs=1 seek="$1" conv=notrunc 2>/dev/null
}

echo "=== cut short"
for n in 0 1 7 8 9 15 16 24 31 32 33 48 55 56 57 200 1000 5000 $((size / 2)) $((size - 9)) $((size - 8)) $((size - 1)); do
    head -c "$n" tiny.upx >damaged.upx
    sentence "cut at $n"
done
echo "=== a byte of the header"
i=0
while [ $i -lt 32 ]; do
    flip $i
    sentence "header byte $i"
    i=$((i + 1))
done
echo "=== a byte of the body"
for i in 32 40 48 56 60 100 1000 10000 $((size / 2)) $((size - 20)) $((size - 1)); do
    flip "$i"
    sentence "byte $i"
done
echo "=== foreign"
(cat tiny.upx; echo more) >damaged.upx && sentence "more"
echo "a text" >damaged.upx && sentence "text"
cp "$(command -v uptc)" damaged.upx && sentence "binary"
sort sentences | uniq -c | sort -rn
flip 500
try uptc run damaged.upx
try uptc eval damaged.upx

echo "=== elsewhere: the vocabulary and the source are inside"
mkdir away
mv tiny.upx away
rm vocab.txt tiny.upm
mv corpus away
cd away
try uptc run tiny.upx --quiet
try uptc show tiny.upx | sed 's/[0-9.]* operations, [0-9.]* kB/N operations, N kB/'
