# Damaged and mistaken files as a new user meets them: each is a sentence that names the file and the place; nothing is lost.
. "$SOURCE/tests/cli/tiny"

# program SOURCE: trains one weight on pictures.
program() {
    cat <<UPM
import std.optim
data some = $1
param w = ones
train on some batch 2 steps 2 { minimize mean(cast(image, f32)) * w with sgd(0.5) }
UPM
}
# bytes in octal, a number a byte
bytes() { for b in "$@"; do printf "\\$(printf %o "$b")"; done; }
idx() { bytes 0 0 8 3 0 0 0 "$1" 0 0 0 2 0 0 0 2; }

echo "=== idx"
program 'idx("images", "labels")' >idx.upm
idx 4 >images; bytes 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 >>images
bytes 0 0 8 1 0 0 0 4 7 8 9 1 >labels
uptc run idx.upm --quiet && echo whole
rm -r runs
cp images kept
bytes 0 0 9 3 >images; tail -c +5 kept >>images
try uptc run idx.upm --quiet
head -c 27 kept >images
try uptc run idx.upm --quiet
head -c 9 kept >images
try uptc run idx.upm --quiet
: >images
try uptc run idx.upm --quiet
cp kept images
bytes 0 0 8 1 0 0 0 5 7 8 9 1 2 >labels
try uptc run idx.upm --quiet
cp images labels
try uptc run idx.upm --quiet
rm labels
try uptc run idx.upm --quiet
gzip -c kept | head -c 40 >images
sed -i 's/, "labels"//' idx.upm
try uptc run idx.upm --quiet

echo "=== npy"
program 'npy("images.npy")' >npy.upm
npy() {
    header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
    printf '\223NUMPY\001\000'
    bytes ${#header} 0
    printf %s "$header"
}
{ npy '|u1' '4, 2, 2'; tail -c 16 kept; } >images.npy
uptc run npy.upm --quiet && echo whole
{ npy '<f8' '4, 2, 2'; for i in 1 2 3 4 5 6 7 8; do tail -c 16 kept; done; } >images.npy
try uptc run npy.upm --quiet
{ npy '|u1' '400, 2, 2'; tail -c 16 kept; } >images.npy
try uptc run npy.upm --quiet
cp kept images.npy
try uptc run npy.upm --quiet

echo "=== csv"
program 'csv("pixels.csv", 2, 2)' >csv.upm
printf '0,1,2,255,7\n1,2,3,4,5\n' >pixels.csv
uptc run csv.upm --quiet && echo whole
for line in '1,2,3,256,5' '1,2,3,-4,5' '1,2,x,4,5' '1,2,3.5,4,5' '1,2,,4,5' '1,2,3,4' '1,2,3,4,5,6' '1,2,3,4,five' '1;2;3;4;5'; do
    printf '0,1,2,255,7\n%s\n' "$line" >pixels.csv
    try uptc run csv.upm --quiet
done
printf '0,1,2\n' >pixels.csv
try uptc run csv.upm --quiet
: >pixels.csv
try uptc run csv.upm --quiet

echo "=== a folder of pictures"
program 'images("shown")' >images.upm
mkdir -p shown/a
cp "$SOURCE/tests/fuzz/seeds/picture/no.colour_cut.jpg" shown/a/2.jpg
printf 'GIF89a' >shown/a/3.gif
try uptc run images.upm --quiet
cp "$SOURCE"/tests/fuzz/seeds/picture/*colour.jpg shown/a/1.jpg
try uptc run images.upm --quiet
rm -r shown
try uptc run images.upm --quiet

echo "=== a vocabulary"
cat >words.upm <<'UPM'
import std.optim
tokenizer tok = bpe("vocab.json", "merges.txt", 262)
data some = lines("text.txt") | encode(tok) | pack(4)
param w = ones
train on some batch 2 steps 2 { minimize mean(cast(ids, f32)) * w with sgd(0.5) }
UPM
printf 'the cat\nthe mat\nthe sat\n' >text.txt
uptc tokenizer train --from text.txt --size 262 -o vocab.json >log
uptc run words.upm --quiet && echo whole
cp merges.txt merges.kept
sed '2s/.*/zz y/' merges.kept >merges.txt
try uptc run words.upm --quiet
echo a | try uptc tokenizer encode vocab.json
sed '2s/ //' merges.kept >merges.txt
try uptc run words.upm --quiet
rm merges.txt
try uptc run words.upm --quiet
cp merges.kept merges.txt
head -c 1000 vocab.json >cut.json
echo a | try uptc tokenizer encode cut.json
echo a | try uptc tokenizer encode merges.txt --kind bpe
try uptc tokenizer decode vocab.json --merges cut.json
sed -i 's/, 262/, 300/' words.upm
try uptc run words.upm --quiet

echo "=== a checkpoint"
sed -i 's/, 300/, 262/; s/param w = ones/param w[3] = ones/; s/) \* w with/) * sum(w) with/' words.upm
try uptc run words.upm --quiet
cp runs/words/last.safetensors whole
rm runs/words/last.safetensors && head -c 100 whole >runs/words/last.safetensors
try uptc run words.upm --quiet
try uptc report words.upm --dir none
try uptc report none
try uptc show runs/words/last.safetensors
cmp -s whole runs/words/step-2.safetensors && echo "the step is there"
sed 's/pack(4)/pad(4)/' words.upm >pad.upm
try uptc check pad.upm
sed 's/pack(4)/sentence_pairs(8)/; s/lines/documents/' words.upm >pad.upm
try uptc check pad.upm
