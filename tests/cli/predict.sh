# Lines of JSON for each record: every type, nested dimensions, what JSON has no number for, texts with all that has to be escaped,
# a last batch that is not full, and where they cannot be written.
. "$SOURCE/tests/cli/tiny"
mkdir -p corpus
{
    printf 'a"b\\c/\303\251\n'
    printf 'tab\there\001\177\n'
    printf '\360\237\230\200 \342\200\250 </script>\n'
    printf 'nul\000l\n'
    printf 'last\n'
} >corpus/made.txt
cat >types.upm <<'UPM'
import std.optim
tokenizer tok = bytes()
data some = lines("corpus/*.txt") | encode(tok) | pad(20)
param w = ones
train on some batch 2 steps 1 { minimize w^2 with sgd(0.25) }
predict on some batch 2 {
    x = cast(ids[:, 0], f32) / 3
    return text = decode(tok, ids), f32 = x, bf16 = cast(x, bf16), i32 = ids[:, 1] - 200, i64 = cast(ids[:, 1], i64) * 4_000_000_000,
        u8 = cast(ids[:, 0] % 256, u8), bool = ids[:, :2] > 97, tensor = cast(rearrange(ids[:, :4][b, (p q)] -> [b, p, q], q = 2), f32) * w, nan = 0 * (1 / (x - x)),
        infinity = 1 / (x - x), minus = -1 / (x - x)
}
UPM
uptc run types.upm --quiet
try uptc predict runs/types

echo "=== to a file"
try uptc predict runs/types -o rows.jsonl
uptc predict runs/types | cmp - rows.jsonl
try uptc predict runs/types -o none/rows.jsonl
try uptc predict runs/types -o /dev/full
uptc predict runs/types >/dev/full
echo "[$?]"
try uptc predict runs/types -o
try uptc predict runs/types --count 3
mv corpus gone
try uptc predict runs/types
mkdir corpus
printf 'good\nb\351\n' >corpus/latin.txt
try uptc predict runs/types
