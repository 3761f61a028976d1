# Texts that go on: prompts from a file, alone and side by side; the folder of a run as the program; Ctrl-C; what is refused.
. "$SOURCE/tests/cli/tiny"
mkdir -p corpus
for i in $(seq 60); do printf 'the cat sat on the mat: \303\251t\303\251\nso it goes, and so it went\n'; done >corpus/made.txt
make_next texts.upm <<'UPM'
const texts = 1
generate(tok) batch texts { return next(token, at) }
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
