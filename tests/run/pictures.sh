# The models of pictures, on made-up ones of 28 x 28: a bright block each, whose place, size and brightness its neighbours do not tell. In
# their first steps they do what they did when this was written, and then learn, or of two adversaries neither wins; corruptions hide
# exactly what they say; a run that goes on ends where one that never stopped does.
. "$SOURCE/tests/run/common.inc"
mkdir data

# pictures SEED N: the IDX files of N pictures and their labels
pictures() {
    awk -v x="$1" -v n="$2" '
    function draw(n) { x = x * 16807 % 2147483647; return x % n }
    function size(n) { return sprintf("\\0\\0\\%o\\%o", int(n / 256), n % 256) }
    BEGIN {
        printf "%s", "\\0\\0\\10\\3" size(n) size(28) size(28) >"images"
        printf "%s", "\\0\\0\\10\\1" size(n) >"labels"
        for (k = 0; k < n; k++) {
            top = draw(16); left = draw(16); h = 4 + draw(8); w = 4 + draw(8); c = sprintf("\\%o", 60 + draw(196))
            for (i = 0; i < 784; i++) {
                r = int(i / 28) - top; s = i % 28 - left
                bright = r >= 0 && r < h && s >= 0 && s < w
                printf "%s", bright ? c : "\\0" >"images"
            }
            printf "%s", sprintf("\\%o", k % 10) >"labels"
        }
    }'
    printf "$(cat images)" | gzip -n >"data/$3-images-idx3-ubyte.gz"
    printf "$(cat labels)" | gzip -n >"data/$3-labels-idx1-ubyte.gz"
}
pictures 3 600 train
pictures 5 100 t10k

# learn NAME FLAG...: a model of models/, here
learn() {
    name=$1
    shift
    uptc run "$SOURCE/models/$name.upm" -D folder=data -D samples=50 "$@" --dir "$name" --quiet
}
better() { # better NAME GOT THAN
    awk -v name="$1" -v got="$2" -v than="$3" 'BEGIN { print name (got != "" && got < than ? ": learned" : ": " got ", not below " than) }'
}

learn autoencoder -D length=20 -D wide=64 -D narrow=32 -D z=8
near "autoencoder at step 1" "$(metric autoencoder 1 loss)" 0.235873058 1e-5
near "autoencoder at step 20" "$(metric autoencoder 20 loss)" 0.134418115 1e-3
better "autoencoder" "$(metric autoencoder 240 eval.mse)" 0.03
learn vae -D length=20 -D width=64 -D z=8 -D draws=20
near "vae at step 1" "$(metric vae 1 reconstruction)" 546.339722 1e-5
near "vae at step 20" "$(metric vae 20 reconstruction)" 403.663666 1e-3
better "vae" "$(metric vae 240 eval.2.elbo | tr -d -)" 125
better "its bound" "$(metric vae 240 eval.bound | tr -d -)" "$(metric vae 240 eval.2.elbo | tr -d -)"
learn mae -D length=10 -D d=16 -D e=16 -D layers=1 -D depth=1 -D heads=2 -D hidden=0.5 -D rate=5e-3
near "mae at step 1" "$(metric mae 1 loss)" 1.43689418 1e-5
near "mae at step 20" "$(metric mae 20 loss)" 0.453234255 1e-2
better "mae" "$(metric mae 120 eval.mse)" 0.03

learn vae -D length=20 -D width=64 -D z=8 -D draws=20 --steps 240
cp vae/last.safetensors whole
rm -r vae
learn vae -D length=20 -D width=64 -D z=8 -D draws=20 --steps 90 2>/dev/null
learn vae -D length=20 -D width=64 -D z=8 -D draws=20 --steps 240 2>/dev/null
same "a run that went on" "$(tensors whole | cksum)" "$(tensors vae/last.safetensors | cksum)"

cat >exact.upm <<'UPM'
import std.corrupt
import std.probe
data digits = idx("data/t10k-images-idx3-ubyte.gz", "data/t10k-labels-idx1-ubyte.gz")

eval on digits batch 20 {
    x = cast(image, f32) + 1
    (noisy, hidden) = mask_patches(x, 4, 0.3)                # 15 of 49 patches
    patch = rearrange(cast(hidden, i32)[b, (r p), (c q)] -> [b, r, c, (p q)], p = 4, q = 4)
    count = sum(hidden over [1, 2])
    parts = sum(patch over -1)
    still = where(hidden[..., None], noisy == 0, noisy == x)
    share = mean(mask_pixels(x, 0.3) == 0)
    noise = gaussian_noise(x, 0.5) - x
    report least = min(count), most = max(count), whole = all((parts == 0) | (parts == 16)), still = all(still)
    report share, spread = sqrt(mean(noise^2)), places = min(mean(hidden over 0))

    # log p(x) of x = z + e, where the code's posterior is known: every draw gives it exactly
    y = cast(label, f32)[:, None]
    near = fn (z) { return -0.5 * sum((y[:, None, :] - z)^2 over -1) - 0.9189385332 }
    bound = importance_weighted(y / 2, full([B, 1], log(0.5)), near, 3)
    report off = max(abs(bound + 0.25 * y[:, 0]^2 + 1.2655121235))
}
UPM
cat >>exact.upm <<'UPM'
param w = zeros
train on digits batch 4 steps 1 { minimize w^2 with sgd(0.1) }
UPM
sed -i 's/^import std.probe/&\nimport std.optim/' exact.upm
uptc run exact.upm --quiet
for name in least most whole still; do echo "$name $(metric runs/exact 1 eval.$name)"; done
near "share of hidden pixels" "$(metric runs/exact 1 eval.share)" 0.3 1e-2
near "spread of noise" "$(metric runs/exact 1 eval.spread)" 0.5 1e-2
awk -v p="$(metric runs/exact 1 eval.places)" 'BEGIN { print (p > 0.1 ? "every place is hidden at times" : "a place is hidden in " p) }'
awk -v off="$(metric runs/exact 1 eval.off)" 'BEGIN { print (off != "" && off < 1e-5 ? "the bound is exact where it must be" : "off by " off) }'

# late DIR NAME: the mean of a value over steps 81 to 100, since one step of adversaries says little: it may be twice the next.
late() {
    for step in $(seq 81 100); do metric "$1" "$step" "$2"; done | awk '{ sum += $1 } END { if (NR == 20) print sum / NR }'
}
# adversaries NAME D G LATER...: the losses of both players at step 1, and those after eight steps, as they were; that neither has won by
# step 100; and the pictures that come of it
adversaries() {
    name=$1
    near "$name at step 1, d_loss" "$(metric "$name" 1 d_loss)" "$2" 1e-5
    near "$name at step 1, g_loss" "$(metric "$name" 1 g_loss)" "$3" 1e-5
    near "$name at step 8, d_loss" "$(metric "$name" 8 d_loss)" "$4" 1e-2
    near "$name at step 8, g_loss" "$(metric "$name" 8 g_loss)" "$5" 1e-2
    near "$name at step 8, r1" "$(metric "$name" 8 r1)" "$6" 1e-2
    better "$name, discriminator" "$(late "$name" d_loss)" 1.5
    better "$name, generator" "$(late "$name" g_loss)" 2
    shift 6
    uptc sample "$SOURCE/models/$name.upm" -D folder=data "$@" --dir "$name" --count 9
    od -An -tx1 -j16 -N8 "$name/sample.png"
}
small="-D width=4 -D z=8"
learn gan $small --steps 100 --log-every 1 --threads 2
adversaries gan 1.18305707 0.877940238 0.834263802 0.768554091 1.19133604 $small
small="-D width=2 -D style=8 -D layers=2"
learn stylegan-lite $small --steps 100 --log-every 1 --threads 2
adversaries stylegan-lite 1.12951303 1.31437254 0.522584379 2.24438882 0.259019226 $small
mv stylegan-lite/last.safetensors whole
rm -r stylegan-lite
learn stylegan-lite $small --steps 100 --log-every 1 --threads 1
same "1 and 2 threads" "$(tensors whole | cksum)" "$(tensors stylegan-lite/last.safetensors | cksum)"

# What one model makes, another looks at: all of it, and nothing else.
learn digit-classifier -D width=4 -D length=2
near "digit-classifier at step 1" "$(metric digit-classifier 1 loss)" 2.55886269 1e-5
near "digit-classifier at step 20" "$(metric digit-classifier 20 loss)" 2.30886626 1e-2
uptc sample "$SOURCE/models/gan.upm" -D folder=data -D width=4 -D z=8 --dir gan --count 150 -o made.npy
uptc predict "$SOURCE/models/digit-classifier.upm" -D folder=data -D width=4 --dir digit-classifier -D asked=made.npy >answers
wc -l <answers
head -n 1 answers | tr -d 0-9
