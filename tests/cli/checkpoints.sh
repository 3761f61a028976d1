# Checkpoints that are missing, cut, foreign or of another program, to each of those that read one: a run that goes on, an evaluation,
# `load` and show. Every answer names the file, what is wrong in it and what to do, and exits with 1.
. "$SOURCE/tests/cli/tiny"
make_tiny
sed 's/^word = .*/&\nload word from "given.safetensors"/' tiny.upm >load.upm
sed 's/^out .*/&\nload out.layer[0] from "given.safetensors" rename "word" to "out.layer.0"/' tiny.upm >misfit.upm
uptc run tiny.upm --quiet 2>/dev/null

# foreign HEADER [DATA]: given.safetensors with this header
foreign() {
    printf "\\$(printf %o ${#1})\\0\\0\\0\\0\\0\\0\\0%s%s" "$1" "${2-}" >given.safetensors
}
all() {
    echo "=== $1"
    cp given.safetensors runs/tiny/last.safetensors 2>/dev/null || rm runs/tiny/last.safetensors
    [ ! -e given.safetensors ] || uptc run tiny.upm --quiet 2>&1
    uptc eval tiny.upm 2>&1
    rm -rf runs/load
    uptc run load.upm --quiet --steps 1 2>&1
    uptc show given.safetensors 2>&1
}
cp runs/tiny/last.safetensors good
all "missing"
head -c 5000 good >given.safetensors
all "cut short"
echo "a text that is no checkpoint" >given.safetensors
all "a text"
foreign '{"word.weight":3}'
all "a header that is none"
foreign '{"word.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}' 1234
all "of another dtype"
foreign '{"embeddings.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' 1234
all "of another model"
foreign '{"word.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}' 1234
all "of another size"
cp good given.safetensors
cp good runs/tiny/last.safetensors
echo "=== two that do not fit each other"
uptc run misfit.upm --quiet 2>&1
echo "=== other vocabularies"
for file in tiny load; do sed 's/vocab = 50/vocab = 40/; s/vocab.txt/other.txt/' $file.upm >other-$file.upm; done
uptc run other-tiny.upm --dir runs/tiny --quiet 2>&1
uptc eval other-tiny.upm --dir runs/tiny 2>&1
uptc run other-load.upm --quiet 2>&1
echo "=== a program of other entries"
sed 's/^eval/train on corpus steps 5 { minimize mean(word.weight^2) with adamw(1e-3) }\n&/' tiny.upm >more.upm
uptc run more.upm --dir runs/tiny --quiet 2>&1
uptc run more.upm --quiet --steps 2 2>&1
uptc run tiny.upm --dir runs/more --quiet 2>&1
echo "=== no room"
# ThreadSanitizer maps a file of $TMPDIR, if it can make one there, which the limit would cut short.
(ulimit -f 40; [ -z "${TSAN_OPTIONS-}" ] || export TMPDIR=/dev/null; uptc run tiny.upm --dir full --quiet 2>&1)
ls full
