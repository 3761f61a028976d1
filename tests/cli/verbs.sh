# eval, check, show and tokenizer: what they print, what they read, and what they say when it is not there.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm >/dev/null 2>&1
uptc run tiny.upx --quiet --keep 4

echo "=== eval"
try uptc eval | steady
try uptc eval tiny.upm --json | steady
try uptc eval tiny.upx --checkpoint runs/tiny/step-5.safetensors --threads 1 | steady
uptc eval tiny.upx --checkpoint runs/tiny/step-20.safetensors >a
uptc eval tiny.upx --threads 1 >b
cmp a b && echo "the same from any number of threads"
uptc eval tiny.upx --seed 8 | cmp -s - a || echo "another seed, other words hidden"
try uptc eval tiny.upx --dir runs/other
try uptc eval tiny.upx --checkpoint runs/tiny/step-6.safetensors
mkdir -p runs/begun
try uptc eval tiny.upx --dir runs/begun
sed '/^eval/,/^}/d' tiny.upm >bare.upm
try uptc eval bare.upm
cat >>bare.upm <<'UPM'
eval on valid { report middle = mean(out(word(ids))) }
eval on corpus { report share = mean(ids == 5) }
UPM
try uptc eval bare.upm --dir runs/tiny | steady
try uptc eval bare.upm --dir runs/tiny --json | steady

echo "=== check"
try uptc check tiny.upm
try uptc check tiny.upm -D d=17 --check-each
sed 's/out(word/out(wrd/; s/save every/svae every/; s/shuffle/shufle/' tiny.upm >slips.upm
try uptc check slips.upm
try uptc check tiny.upm -D D=3
try uptc check tiny.upm -D dim=3
ls

echo "=== show"
try uptc show runs/tiny/last.safetensors | sed 's/: [0-9a-f]\{16\}$/: HASH/'
try uptc show runs/tiny
try uptc show vocab.txt
cp tiny.upm program.upx
cp tiny.upx program.safetensors
try uptc show program.upx
try uptc show program.safetensors

echo "=== tokenizer"
head -3 corpus/made.txt >lines
printf 'Aa, b.\n\n[MASK] zz' >>lines
try uptc tokenizer encode vocab.txt <lines | tee ids
sed '1d;$d' ids | uptc tokenizer decode vocab.txt
printf '2 6 0 0 4\n\n  7\t3 ' | try uptc tokenizer decode vocab.txt
printf '2 6\n5 -1\n7\n' | try uptc tokenizer decode vocab.txt
echo '5 50' | try uptc tokenizer decode vocab.txt
echo '99999999999999999999' | try uptc tokenizer decode vocab.txt
echo '5, 6' | try uptc tokenizer decode vocab.txt
printf 'good\ncaf\351\n' | try uptc tokenizer encode vocab.txt
try uptc tokenizer encode vocab.txt <.
try uptc tokenizer encode tiny.upx | sed "s/byte.*which/byte N of the line is N, which/"
try uptc tokenizer encode corpus/made.txt
try uptc tokenizer encode vocab.txt --count <lines
printf 'h\303\251\n' | uptc tokenizer encode --kind bytes | uptc tokenizer decode --kind bytes
uptc tokenizer encode vocab.txt --count --time <lines 2>&1 | sed 's/^[0-9.]* MB/N MB/'
try uptc tokenizer encode vocab.txt --count </dev/null
try uptc tokenizer encode vocab.txt --kind bytes
try uptc tokenizer encode vocab.txt --kind characters --merges lines
try uptc tokenizer encode vocab.txt --kinds bpe
try uptc tokenizer encode vocab.txt --kind word
try uptc tokenizer encode
try uptc tokenizer encod vocab.txt
try uptc tokenize encode vocab.txt
try uptc tokenizer train --from 'corpus/*.txt' --kind bytes -o new.txt
try uptc tokenizer train --from 'corpus/*.txt' --size 60 -o new.json --merges ''
