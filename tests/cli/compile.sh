# uptc compile: stages, -o, -D, another library, errors by the dozen, and what `uptc run` takes without a file.
. "$SOURCE/tests/cli/tiny"
cat >mean.upm <<'UPM'
import std.optim
const rate = 0.5
const files = "x.txt"
tokenizer tok = bytes()
data corpus = lines(files) | encode(tok) | pad(4)
param w[2] = zeros
train on corpus batch 1 steps 3 {
    loss = sum((w - 1)^2)
    minimize loss with sgd(rate)
}
UPM
echo "ab" >x.txt

for stage in ast ir grad; do try uptc compile mean.upm --emit=$stage; done
uptc compile mean.upm --emit=fused >fused.ir
sed -n '1p; /^ *# /p' fused.ir
upt-opt fused.ir >plain.ir && sed '/^ *# /d' fused.ir | cmp - plain.ir && echo "the comments apart, the text that is read back"
uptc compile mean.upm --emit=plan | grep plan
uptc compile mean.upm --emit=llvm | grep -c '^define'
uptc compile mean.upm --emit=asm | grep -c 'retq\?$'
UPT_CPU=x86-64-v3 uptc compile mean.upm --emit=llvm | grep -o '"target-cpu"="[^"]*"' | sort -u
try uptc compile mean.upm --check-each
try env UPT_STRIP=some uptc compile mean.upm
for cpu in some x86-64-v3+avx2; do try env UPT_CPU=$cpu uptc compile mean.upm; done
try env UPT_CPU=some uptc run mean.upm
try env UPT_CPU=some uptc run mean.upx
uptc compile mean.upm --time -o timed.upx 2>&1 | sed 's/ *[0-9]*\.[0-9]/ N/'

echo "=== -o"
try uptc compile mean.upm -o=a.upx
try uptc compile mean.upm -ob.upx
try uptc compile mean.upm -o none/c.upx
mkdir folder.upx
try uptc compile mean.upm -o folder.upx
mkfifo pipe.upx
try uptc compile mean.upm -o pipe.upx
# ThreadSanitizer maps a file of $TMPDIR, if it can make one there, which the limit would cut short.
(ulimit -f 1; export TMPDIR=/dev/null; try uptc compile mean.upm -o large.upx) | cat
ls

echo "=== -D"
try uptc run mean.upm --dir r1 --steps 1 -D rate=0.25 | steady
try uptc compile mean.upm -D rate=0.25 -D rate=0.5
try uptc compile mean.upm -D files=y.txt
uptc compile mean.upm -D files=y.txt --emit=ir | grep lines
uptc compile mean.upm -D 'files="z.txt"' --emit=ir | grep lines
try uptc compile mean.upm -D rat=1
try uptc compile mean.upm -D w=1
sed 's/bytes()/characters(from = "missing.txt")/' mean.upm >slow.upm # a slip is told before a text is read
try uptc check slow.upm -D rat=1
try uptc compile mean.upm -D rate=
try uptc compile mean.upm -D rate=1+
try uptc compile mean.upm -D rate=none

echo "=== memory and micro"
sed 's/batch 1/batch 6/; 1i run { memory = 1.5G; micro = 3 }' mean.upm >small.upm
for flags in '' '--fit 512M' '--micro 2' '--fit=3_000k --micro=6'; do
    uptc compile small.upm --emit=ir $flags | grep '^run'
done
uptc compile small.upm && uptc show small.upx | grep -c .
try uptc compile small.upm --micro 4
try uptc check small.upm -D rate=2
sed -i 's/memory = .*/memory = 8; micro = 0 }/' small.upm
try uptc check small.upm
sed -i 's/memory = .*/memory = rate; micro = 4 }/' small.upm
try uptc check small.upm

echo "=== UPT_STD"
cp -r "$SOURCE/models/std" std
sed -i 's/^rule sgd/rule sgdd/' std/optim.upm
UPT_STD=std try uptc check mean.upm
UPT_STD=none try uptc check mean.upm
UPT_STD= try uptc check mean.upm
echo "block (" >>std/optim.upm
UPT_STD=std try uptc check mean.upm

echo "=== errors"
printf 'const a = 1 +\nconst b = 2\nparam w[ = zeros\n' >two.upm
try uptc compile two.upm
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23; do echo "const c$i = none$i"; done >many.upm
uptc check many.upm 2>&1 | grep error | tail -3
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23; do echo "const c$i = )"; done >many.upm
uptc check many.upm 2>&1 | grep error | tail -2
: >empty.upm
try uptc compile empty.upm
try uptc run empty.upx
head -c 3000 "$(command -v uptc)" >binary.upm
uptc check binary.upm 2>&1 | head -1
if uptc compile mean.upm --emit=ir >/dev/full; then echo "a full disk went unseen"; fi

echo "=== the newest"
uptc compile mean.upm -o old.upx && touch -d '1 hour ago' *.upx && sed 's/steps 3/steps 1/' mean.upm >new.upm
try uptc compile new.upm
try uptc run | steady
