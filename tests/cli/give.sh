# What entries return: a text that goes on, pictures, values by record; and what these verbs refuse.
. "$SOURCE/tests/cli/tiny"
mkdir -p corpus
for i in $(seq 40); do echo abcabcabcabcabcabcabc; done >corpus/made.txt
make_next give.upm <<'UPM'
data some   = lines("corpus/*.txt") | encode(tok) | pad(4) | take(3)
generate(tok) { return next(token, at) }
sample 4 { return uniform([4, 6, 5], 0, 1) as grid(6, 5) }
predict on some batch 2 { return text = decode(tok, ids), first = ids[:, 0], part = cast(ids, f32)[:, :2] / 64, known = ids[:, 0] == 97 }
UPM

echo "=== before training"
try uptc generate give.upm --prompt ab
uptc compile give.upm >log && uptc run give.upx --quiet >log && rm give.upm

echo "=== text"
try uptc generate give.upx --prompt abca --tokens 8 --temperature 0
echo bc | uptc generate give.upx --tokens 30 --temperature 0   # longer than there are positions
printf 'ab\nbca\n' >prompts
try uptc generate give.upx --prompts prompts --tokens 6 --top-k 1
uptc generate give.upx --prompt a --seed 5 --temperature 3 >a && uptc generate give.upx --prompt a --seed 5 --temperature 3 --threads 1 >b && cmp a b &&
    echo "the same seed, the same text"
uptc generate give.upx --prompt a --seed 6 --temperature 3 | cmp -s a - || echo "another seed, another text"
uptc generate give.upx --prompt a --temperature 30 --tokens 400 | iconv -f utf-8 -t utf-8 >/dev/null && echo "all of it is UTF-8"
try uptc generate give.upx --prompt abcabcabcabca

echo "=== pictures"
try uptc sample give.upx
try uptc sample give.upx --count 6 --seed 1 -o six.png
uptc sample give.upx --count 6 --seed 1 -o again.png >log && cmp six.png again.png && echo "the same seed, the same pictures"
od -An -tx1 -j16 -N8 six.png
try uptc sample give.upx --count 6 --seed 1 -o six.npy
head -c 128 six.npy | tail -c +11 | sed 's/ *$//'
od -An -tf4 -w20 -j128 -N40 six.npy
wc -c <six.npy

echo "=== values"
try uptc predict give.upx
uptc predict give.upx -o rows.jsonl && wc -l <rows.jsonl

echo "=== what is refused"
try uptc generate give.upx --promt a
try uptc generate give.upx --prompt a --prompts prompts
try uptc generate give.upx --prompt a --top-p 2
try uptc generate give.upx --prompt a --temperature warm
try uptc generate give.upx --prompt a --checkpoint prompts
try uptc sample give.upx -o no/such/folder.png
try uptc sample give.upx -o six.jpg
try uptc sample give.upx -o .
make_tiny
try uptc generate tiny.upm --dir runs/give
try uptc compile tiny.upm >log
try uptc sample tiny.upx
