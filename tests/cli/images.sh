# Pictures that entries report: files of the run, the newest of each name in its page; cut back with it; and no reason to stop.
. "$SOURCE/tests/cli/tiny"

printf '\1\20\100\377%.0s' 1 2 3 4 5 6 7 8 >pixels
{ printf '\0\0\10\3\0\0\0\10\0\0\0\2\0\0\0\2'; cat pixels; } >images.idx
cat >shown.upm <<'UPM'
import std.optim
data digits = idx("images.idx")
param w[4] = zeros

fn row(image: u8[B, H, W, C]) -> [B, H*W*C] = rearrange(cast(image, f32)[b, h, w, c] -> [b, (h w c)]) / 255

train on digits batch 4 steps 6 {
    x = row(image)
    loss = mean((x - w)^2)
    minimize loss with sgd(0.5)
    report image weights = w as grid(2, 2)
    report image first = stack([x[:2], x[:2] - w] over 0) as grid(2, 2)
}

eval on digits {
    x = row(image)
    report mse = mean((x - w)^2)
    report image rest = abs(x - w) as grid(2, 2)
    report image darkest = min(x over B) as grid(2, 2)
    report image raw = image as grid(2, 2)
}

run { log every 2; save every 2; eval every 3 }
UPM

# size FILE: width and height that a PNG says
size() { od -An -j16 -N8 -tu1 "$1" | awk '{ print $4 "x" $8 }'; }

try uptc run shown.upm --quiet
for f in runs/shown/images/*; do echo "$(basename "$f") $(size "$f")"; done
grep -o '<figcaption>[^<]*' runs/shown/report.html
sum() { cat runs/shown/images/* | cksum; }
whole=$(sum)

echo "=== in pieces; and going on from step 4, as if it had never stopped"
uptc run shown.upm --quiet --micro 2 --dir runs/pieces
cmp runs/shown/images/first-6.png runs/pieces/images/first-6.png && echo "the same pictures in pieces"
cp runs/shown/step-4.safetensors runs/shown/last.safetensors
touch runs/shown/images/mine.png runs/shown/images/other-1.txt runs/shown/images/first-5.png.tmp7 # as a killed run leaves it
uptc run shown.upm --quiet --steps 5
ls runs/shown/images
rm runs/shown/images/mine.png runs/shown/images/other-1.txt
uptc run shown.upm --quiet --steps 6
rm runs/shown/images/first-5.png runs/shown/images/weights-5.png runs/shown/images/eval.*-5.png
[ "$(sum)" = "$whole" ] && echo "the same pictures as without a stop"

echo "=== uptc eval; a checkpoint of an earlier step"
uptc eval shown.upm
uptc eval shown.upm --json
uptc eval shown.upm --checkpoint runs/shown/step-5.safetensors | grep images

echo "=== only the newest hundred of a name stay"
uptc run shown.upm --quiet --steps 230 --log-every 1 --eval-every 0 --dir runs/many
ls runs/many/images | grep -c first
ls runs/many/images | grep first | sort -t- -k2n | sed -n '1p;$p'

echo "=== where they cannot be written the run goes on, and says so once"
mkdir -p runs/blocked/report.html runs/page/report.html
echo >runs/blocked/images
try uptc run shown.upm --dir runs/blocked 2>&1 | steady | sed 's/  [0-9.]*[kM]\{0,1\} samples.*//'
uptc run shown.upm --dir runs/page 2>&1 | grep warning
uptc run shown.upm --dir runs/blocked --steps 8 --quiet
cmp runs/blocked/step-6.safetensors runs/shown/last.safetensors && echo "the same checkpoint"
