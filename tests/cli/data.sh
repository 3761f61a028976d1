# Data as people have it: no file of that name, a folder, empty files, another encoding, too little of it, a vocabulary that does not
# fit. Each is told at the line of the program that asks for it, by compile and check where a vocabulary is trained, by run where it
# is there already.
. "$SOURCE/tests/cli/tiny"
make_tiny
mkdir empty blank latin binary folder folder/inner
: >empty/a.txt; : >empty/b.txt
printf '\n\n  \n\t\n' >blank/a.txt
printf 'good line\ncaf\351 au lait\n' >latin/a.txt
printf 'text\n\0\1\2\377\n' >binary/a.txt
echo "one line" >few.txt

slips() {
    for files in 'none.txt' 'none/*.txt' 'corpus/*.text' 'corpus' 'corpus/' 'folder/*' 'empty/*.txt' 'blank/a.txt' 'latin/*' \
        'binary/*' 'few.txt'; do
        try "$@" -D "files=$files"
    done
}

echo "=== while there is no vocabulary"
slips uptc check tiny.upm
for size in 0 5 20 -1 2.5 100k; do try uptc check tiny.upm -D "vocab=$size"; done
ls

echo "=== none is trained for a file that has errors"
sed 's/^import std.nn/import std.nm/' tiny.upm >slip.upm
try uptc compile slip.upm
rm slip.upm
ls

echo "=== check leaves none"
try uptc check tiny.upm
ls

echo "=== with one"
try uptc compile tiny.upm
slips uptc run tiny.upm --quiet
try uptc check tiny.upm -D vocab=49
try uptc run tiny.upm -D vocab=60
ls -A runs/tiny

echo "=== a vocabulary that is none"
for text in '' 'a\nb\n' '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n\nb\n' '[UNK]\na\na\n' '[UNK]\n\351\n'; do
    printf "$text" >vocab.txt
    try uptc check tiny.upm -D "vocab=0"
done
rm vocab.txt && mkdir vocab.txt
try uptc check tiny.upm
rmdir vocab.txt
try uptc check tiny.upm -D 'files='

echo "=== too few"
uptc compile tiny.upm 2>/dev/null
for d in 1 2; do for s in a b c d e; do echo "$s"; done; echo; done >corpus/made.txt
sed 's/batch 8 steps/batch 100 steps/' tiny.upm >large.upm
try uptc run large.upm
sed 's/split(0.8)/split(1.5)/' tiny.upm >split.upm
try uptc run split.upm
sed 's/sentence_pairs(24)/sentence_pairs(2)/' tiny.upm >short.upm
try uptc run short.upm
echo "=== a file taken away since"
uptc compile tiny.upm -o kept.upx >/dev/null
rm corpus/made.txt
try uptc run kept.upx
