# Texts that go on: prompts from a file, alone and side by side; the folder of a run as the program; Ctrl-C; what is refused.
. "$SOURCE/tests/cli/tiny"
mkdir -p corpus
for i in $(seq 60); do printf 'the cat sat on the mat: \303\251t\303\251\nso it goes, and so it went\n'; done >corpus/made.txt
cat >texts.upm <<'UPM'
import std.nn
import std.optim

const seq = 12
const texts = 1
tokenizer tok = bytes()
data corpus = lines("corpus/*.txt") | encode(tok) | pack(seq + 1) | shuffle

word   = Embedding(tok.size, 16, std = 0.2)
place  = Embedding(seq, 16, std = 0.2)
attend = CausalAttention(16, 2, seq)
out    = Linear(16, tok.size)

fn logits(ids: i32[B, T]) {
    x = word(ids) + place(iota(T))
    return out(x + attend(x))
}
fn next(token: i32[B, 1], at: i32) {
    x = word(token) + place(at)
    return out(x + attend.next(x, at))[:, 0]
}
train on corpus batch 8 steps 60 {
    minimize mean(cross_entropy(logits(ids[:, :-1]), ids[:, 1:])) with adam(1e-2)
}
generate(tok) batch texts { return next(token, at) }
run { seed = 3 }
UPM
uptc run texts.upm --quiet
uptc compile texts.upm -D texts=3 -o three.upx >log
options='--tokens 30 --temperature 2'

echo "=== a file of prompts"
printf 'the cat\nso\n\nso\nthe mat\r\n\303\251' >prompts
uptc generate texts.upm --prompts prompts $options >lines
echo "[$?]"
wc -l <lines
cut -d'"' -f4 lines
for prompt in 'the cat' so '' 'the mat' "$(printf '\303\251')"; do
    printf %s "$prompt" | uptc generate texts.upm $options --json | grep -cxFf - lines
done
uptc generate three.upx --dir runs/texts --prompts prompts $options | cmp lines - && echo "side by side as one after the other"
uptc generate three.upx --dir runs/texts --prompt so $options --json | grep -xFf - lines | wc -l
sed -n 2p lines >first
sed -n 4p lines | cmp -s first - || echo "another text for the same prompt again"
uptc generate three.upx --dir runs/texts --prompts prompts $options --threads 1 | cmp lines - && echo "whatever the threads"

echo "=== prompts that are none"
printf 'the cat\nthe cat sat on the mat\n' >long
try uptc generate three.upx --dir runs/texts --prompts long
printf 'a\n\377\n' >latin
try uptc generate texts.upm --prompts latin
printf 'a\nb\000c\n' >zero
try uptc generate texts.upm --prompts zero
: >empty
try uptc generate texts.upm --prompts empty
try uptc generate texts.upm --prompts none
try uptc generate texts.upm --prompts .
printf '\377' | try uptc generate texts.upm

echo "=== the folder of a run"
uptc generate runs/texts --prompt so $options --json | grep -xFf - lines | wc -l
uptc generate runs/texts/ --prompt so $options --json | grep -xFf - lines | wc -l
(cd runs && uptc generate texts --prompt so $options --json) | grep -xFf - lines | wc -l
try uptc generate runs/text --prompt so
try uptc generate runs --prompt so
mkdir untrained && cp texts.upm untrained
try uptc generate untrained --prompt so
cp three.upx untrained
try uptc generate untrained --prompt so
try uptc generate runs/texts -D seq=8
sed 's/16/8/g' texts.upm >narrow.upm
try uptc generate narrow.upm --dir runs/texts --prompt so
uptc run runs/texts --steps 61 --quiet && uptc show runs/texts/last.safetensors | grep ^step:

echo "=== while it is made"
mkfifo pipe
uptc generate runs/texts --prompt 'the ' --tokens 1M >pipe &
pid=$!
head -c 4 <pipe | cat
# What is read is closed: the next write ends it as any filter ends.
wait $pid
echo " [$?]"
uptc generate runs/texts --prompt 'the ' --tokens 100M >endless &
pid=$!
while ! [ -s endless ]; do sleep 0.05; done
kill -INT $pid
wait $pid
echo "[$?] $(tail -c 1 endless | od -An -tx1)"
uptc generate three.upx --dir runs/texts --prompts prompts --tokens 10M >endless.jsonl &
pid=$!
until grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$pid/status; do sleep 0.05; done # SIGTERM is heard
kill -TERM $pid
wait $pid
echo "[$?] $(cut -d'"' -f4 endless.jsonl | tr '\n' '/')"
uptc generate runs/texts --prompt a >/dev/full
echo "[$?]"

echo "=== flags"
for wrong in '--tokens 0' '--tokens -1' '--tokens 1.5' '--tokens 1G' '--temperature -1' '--temperature nan' '--temperature inf' '--top-k 0' \
    '--top-p 0' '--top-p 1.5' '--top-p x' '--seed -1' '--seed 1e99' '--prompt' '--prompts'; do
    try uptc generate runs/texts $wrong
done
