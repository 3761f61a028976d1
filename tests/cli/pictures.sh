# Pictures: an autoencoder of eight of 4 x 4 pixels, from each format; and files that are not what they say, each told with its name
# and the place.
. "$SOURCE/tests/cli/tiny"

# bytes N FROM: N bytes that grow by 7
bytes() { awk -v n="$1" -v from="$2" 'BEGIN { for (i = 0; i < n; i++) printf "\\%03o", (from + 7 * i) % 256 }'; }
raw() { printf "$(bytes "$1" "$2")"; }

{ printf '\0\0\10\3\0\0\0\10\0\0\0\4\0\0\0\4'; raw 128 0; } >images.idx
{ printf '\0\0\10\1\0\0\0\10'; printf '\0\1\2\3\0\1\2\3'; } >labels.idx

program() {
    cat <<UPM
import std.nn
import std.optim

data digits = $1
encode = Mlp([$2, 8, 2], relu)
decode = Mlp([2, 8, $2], relu)

train on digits batch 4 epochs 10 {
    x = rearrange(cast(image, f32)[b, h, w, c] -> [b, (h w c)]) / 255
    minimize mean((x - sigmoid(decode(encode(x))))^2) with adam(1e-2)
}

eval on digits { report labels = sum(label), most = max(image), least = min(image), total = sum(image) }
UPM
}

train() {
    name=$1
    program "$2" "$3" >"$name.upm"
    echo "\$ $2"
    uptc run "$name.upm" 2>&1 | steady | sed 's/  [0-9.]*k\{0,1\} samples.*//' | tail -n 2
}

echo "=== every format"
train idx 'idx("images.idx", "labels.idx") | shuffle' 16
gzip -nk images.idx
train packed 'idx("images.idx.gz", "labels.idx") | shuffle' 16

npy() { # npy SHAPE: a header
    header="{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"
    printf "\\223NUMPY\\1\\0\\$(printf %o ${#header})\\0%s" "$header"
}
{ npy '8, 4, 4'; tail -c 128 images.idx; } >images.npy
{ npy '8,'; tail -c 8 labels.idx; } >labels.npy
train npy 'npy("images.npy", "labels.npy") | shuffle' 16
tail -c 128 images.idx | od -An -v -tu1 -w16 | sed 's/^ *//; s/  */,/g' | awk '{ print $0 "," (NR - 1) % 4 }' | gzip >digits.csv.gz
train csv 'csv("digits.csv.gz", 4, 4) | shuffle' 16
for i in 0 1 2 3 4 5 6 7; do printf "\\00$((i % 4))"; raw 3072 $i; done >batch.bin
train cifar 'cifar("batch.bin") | grayscale | resize(4, 4) | shuffle' 16
mkdir -p shown/a shown/b
for i in 1 2 3 4; do
    cp "$SOURCE/tests/fuzz/seeds/picture/ok.colour.jpg" shown/a/$i.jpg
    cp "$SOURCE/tests/fuzz/seeds/picture/ok.grey.png" shown/b/$i.PNG
done
train images 'images("shown") | resize(4, 4) | grayscale | shuffle' 16

echo "=== stages"
train split 'idx("images.idx", "labels.idx") | take(6)' 16
program 'kept | shuffle' 16 | sed 's/^data digits/data (kept, held) = idx("images.idx", "labels.idx") | split(0.75)\n&/; s/eval on digits/eval on held/' >parts.upm
uptc run parts.upm --json 2>&1 | grep -c samples
uptc eval parts.upm
program 'images("shown")' 270 >shape.upm
try uptc run shape.upm --quiet

echo "=== a broken picture"
cp "$SOURCE/tests/fuzz/seeds/picture/no.colour_cut.jpg" shown/a/3.jpg
program 'images("shown") | resize(4, 4) | grayscale | shuffle' 16 >broken.upm
try uptc run broken.upm --quiet
sed -i 's/"shown"/"shown", skip_broken = true/' broken.upm
uptc run broken.upm --dir runs/skip 2>&1 | steady | sed 's/  [0-9.]*k\{0,1\} samples.*//' | grep -v '^step .*loss\|^step [0-9]*.20  mean'
{
    program 'images("shown", skip_broken = true) | resize(4, 4) | grayscale' 16
    echo 'features bank on digits batch 4 { return label, mean(cast(image, f32) over [1, 2, 3]) }'
    printf 'eval on digits {\n    (labels, light) = bank\n    report records = light.dim(0), bright = sum(labels), dark = sum(light == 0), light = light[2], next = light[3]\n}'
} >banked.upm
uptc eval banked.upm --dir runs/skip
echo "mended, a run goes on"
cp shown/a/2.jpg shown/a/3.jpg
sed -i 's/, skip_broken = true//' broken.upm
uptc run broken.upm 2>&1 | tail -n 1

echo "=== compiled for other pictures"
uptc compile idx.upm >/dev/null
{ printf '\0\0\10\3\0\0\0\10\0\0\0\2\0\0\0\10'; raw 128 0; } >images.idx
try uptc run idx.upx --dir runs/other
{ printf '\0\0\10\3\0\0\0\10\0\0\0\4\0\0\0\4'; raw 128 0; } >images.idx

echo "=== files that are something else"
slip() {
    program "idx(\"$1\", \"$2\")" 16 >slip.upm
    try uptc run slip.upm --dir slips --quiet 2>&1 | grep -v '^ *|\|^ *[0-9]* |'
}
slip none.idx labels.idx
slip labels.idx labels.idx
slip images.idx images.idx
head -c 3 images.idx >few.idx; slip few.idx labels.idx
head -c 9 images.idx >head.idx; slip head.idx labels.idx
head -c 100 images.idx >short.idx; slip short.idx labels.idx
head -c 60 images.idx.gz >short.idx.gz; slip short.idx.gz labels.idx
{ cat images.idx; echo more; } >long.idx; slip long.idx labels.idx
{ printf '\0\0\10\1\0\0\0\7'; printf '\0\1\2\3\0\1\2'; } >seven.idx; slip images.idx seven.idx
head -c 12 labels.idx >labels4.idx; slip images.idx labels4.idx
printf '\0\0\10\3\377\377\377\377\0\0\377\377\0\0\377\377' >huge.idx; slip huge.idx labels.idx
{ head -c 4 images.idx; printf '\377\377\377\377\0\0\0\4\0\0\0\4'; raw 128 0; } >many.idx; slip many.idx labels.idx
echo "=== another set than the run began with"
raw 16 5 | dd of=images.idx bs=1 seek=16 conv=notrunc 2>/dev/null
try uptc run idx.upm --steps 30
