# Where a step's time goes: the text with its figures blanked and without its rows, which come in the order of their times; of
# what machines get the user's lines and a product; and that a profile changes no bit of the run.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm 2>/dev/null
UPT_CACHE=cache; export UPT_CACHE

echo "=== a profile of 8 steps of 20, with no ceilings known"
uptc run tiny.upx --dir out --threads 2 --profile=8 >text
sed -n '/^profile/,/^step/p' text | steady | sed -E '/^ +[0-9.]+ +[0-9.]+ %/d; s/^(  [a-z ]*[a-z]) +[0-9.]+ ms +[0-9.]+ %/\1 FIGURES/
    s/[0-9.]+ ms \(median; [0-9.]+ to [0-9.]+\)/MS (median)/; s/[0-9.]+ s$/SECONDS/'
grep -o ' tiny.upm:19  loss = masked_mean' text
awk 'length($0) > 100' text

echo "=== the same bits, and a run that went on"
uptc run tiny.upx --dir plain --threads 2 --quiet
cmp plain/last.safetensors out/last.safetensors && echo "the same bytes"
steady <plain/metrics.jsonl >a; steady <out/metrics.jsonl | cmp - a && echo "the same metrics"
ls out

echo "=== as JSON, with ceilings"
uptc doctor >/dev/null
uptc run tiny.upx --dir json --json --threads 1 --profile=4 | grep '^{"profile"' >profile
tr '{' '\n' <profile | sed -E 's/":-?[0-9][0-9.e-]*/":N/g; s/"ceiling":"[a-zL0-9]*"/"ceiling":KIND/; s/\],?.*//' |
    grep '"text"\|Linear 192x50x32\|^"first"\|_s"\|^"other"' | sort

echo "=== a loss that one kernel computes with what updates a bias"
cat >shift.upm <<'UPM'
import std.nn
import std.optim
tokenizer tok = bytes()
data corpus = lines("corpus/*.txt") | encode(tok) | pad(16)
param bias[1] = zeros
out = Linear(16, 16)
train on corpus batch 8 steps 4 {
    x = cast(ids, f32) / 255
    wide = out(x)
    y = sigmoid(rearrange(wide[b, (i j)] -> [b, i, j], j = 1) + bias)
    loss = mean((y - rearrange(x[b, (i j)] -> [b, i, j], j = 1))^2)
    minimize loss with adamw(1e-2)
    report loss
}
UPM
uptc run shift.upm --dir shift --profile=2 | grep -o '^    [a-z]*ward'

echo "=== in short runs, and where it cannot be kept"
uptc run tiny.upx --dir one --steps 1 --profile | grep '^profile'
uptc run tiny.upx --dir two --steps 2 --profile | grep '^profile'
uptc run tiny.upx --dir quiet --steps 5 --profile --quiet; ls quiet/trace.json
mkdir -p bad/trace.json
uptc run tiny.upx --dir bad --profile=2 | grep -A 1 trace
uptc run tiny.upx --dir bad2 --json --steps 0 --profile
try uptc run tiny.upx --dir zero --profile=0
try uptc run tiny.upx --dir zero --profile=some
