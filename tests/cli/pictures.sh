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
