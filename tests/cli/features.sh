# Features: banks that evals read, by neighbours and by a classifier; a run with them goes on bit for bit; data that changed since.
. "$SOURCE/tests/cli/tiny"

# pictures N FROM NAME: N pictures of 2 x 2, dark ones with label 0, bright ones with label 1, and grey ones in the last two columns with label 2
pictures() {
    awk -v n="$1" -v from="$2" 'BEGIN { printf "\\0\\0\\10\\3\\0\\0\\0\\%03o\\0\\0\\0\\2\\0\\0\\0\\2", n
        for (i = 0; i < n; i++) for (k = 0; k < 4; k++) {
            kind = (from + i) % 3; v = kind == 0 ? 10 + (7 * i + 3 * k) % 20 : kind == 1 ? 220 + (5 * i + k) % 30 : k < 2 ? 5 : 120 + 3 * i
            printf "\\%03o", v } }' >text && printf "$(cat text)" >"$3.images"
    awk -v n="$1" -v from="$2" 'BEGIN { printf "\\0\\0\\10\\1\\0\\0\\0\\%03o", n; for (i = 0; i < n; i++) printf "\\%d", (from + i) % 3 }' >text &&
        printf "$(cat text)" >"$3.labels"
}
pictures 31 0 seen
pictures 10 1 held

cat >probed.upm <<'UPM'
import std.nn
import std.optim
import std.probe

data seen = idx("seen.images", "seen.labels")
data held = idx("held.images", "held.labels")
data few  = held | take(5)

encode = Mlp([4, 8, 3], relu)
decode = Mlp([3, 8, 4], relu)

fn pixels(image: u8[B, H, W, C]) -> [B, H*W*C] = rearrange(cast(image, f32)[b, h, w, c] -> [b, (h w c)]) / 255

train on seen batch 4 steps 30 {
    x = pixels(image)
    minimize mean((x - decode(encode(x)))^2) with adam(1e-2)
}

features bank on seen { return encode(pixels(image)), label, bright = mean(cast(image, f32) over [1, 2, 3]) }
features alone on few batch 5 { return pixels(image) }
features unread on few { return label }

eval on held {
    (codes, labels, bright) = bank
    z = encode(pixels(image))
    report knn = knn(z, label, (codes, labels), k = 5), linear = linear_probe(z, label, (codes, labels), classes = 3)
    report records = codes.dim(0), total = sum(bright), labels = sum(labels), first = bright[0], last = bright[-1]
    (near, place) = nearest(unit(z), unit(codes), 5)
    (parted, placed) = nearest(unit(z), unit(codes), 5, part = 4)
    report parts = all(place == placed) & all(near == parted)
    report shared = sum(pixels(image) over B) @ alone[0]
}

run { save every 10; log every 10; eval every 10 }
UPM

echo "=== gathered before each evaluation"
uptc check probed.upm --check-each && echo checked
uptc run probed.upm --quiet
sed 's/,"samples_per_second":[^}]*//' runs/probed/metrics.jsonl | grep eval
try uptc eval probed.upm
uptc eval probed.upm --json >one
uptc eval probed.upm --json --threads 1 | cmp - one && echo "on one thread the same"
uptc show runs/probed/last.safetensors | grep -c bank
uptc compile probed.upm --emit=ir | grep '^entry\|^tensor bank'

echo "=== going on"
cp runs/probed/metrics.jsonl whole
cp runs/probed/step-20.safetensors runs/probed/last.safetensors
uptc run probed.upm --quiet
drop() { sed 's/,"samples_per_second":[^}]*//' "$1"; }
drop whole >a && drop runs/probed/metrics.jsonl | cmp - a && echo "as if it had never stopped"

echo "=== other records than it was compiled for"
uptc compile probed.upm >/dev/null
pictures 30 0 seen
try uptc eval probed.upx
try uptc eval probed.upm --json

echo "=== labels beyond the classes"
sed 's/classes = 3/classes = 2/' probed.upm >classes.upm
uptc eval classes.upm --dir runs/probed 2>&1 | sed -n 's/probe.upm:[0-9:]*/probe.upm/; /error/p; s/^ *[0-9]* |  *\(target\)/\1/p; /^classes/p'

echo "=== what evaluates nothing looks at no records"
echo 'sample 2 { return decode(normal([2, 3])) }' >>probed.upm
head -c 40 seen.images >cut && mv cut seen.images
uptc sample probed.upm --count 1 | grep -c sample
try uptc eval probed.upm
