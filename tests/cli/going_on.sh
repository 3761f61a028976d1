# A run that goes on after its program or its text changed: what changes no step is not mentioned, what the program says anew is said
# once, other text under the same program is refused until it is put back.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc run tiny.upm --steps 10 --quiet 2>/dev/null
cp -r runs kept
cp tiny.upm tiny.kept

# go_on WHAT ARGUMENTS...: four steps from the same checkpoint with the program and the text as they are now.
go_on() {
    echo "=== $1"
    shift
    rm -rf runs
    cp -r kept runs
    uptc run tiny.upm --steps 14 "$@" 2>&1 | steady | grep -v '^step'
    [ ! -e runs/tiny/step-14.safetensors ] || echo "(went on)"
}
edit() { sed "$1" tiny.kept >tiny.upm; }

go_on "nothing but more steps"
edit 's/^train/# a remark\n\n&/; s/report loss, most/report most/; s/ + //; /report text/d'
go_on "remarks and reports"
edit 's/adamw(1e-2)/adamw(1e-3)/'
go_on "a lower rate"
uptc run tiny.upm --steps 16 | grep changed
edit 's/seed = 3/seed = 4/'
go_on "another seed in the program"
edit 's/split(0.8)/split(0.7)/; s/masked_mean(cross/2 * &/'
go_on "data, and a loss"
edit 's/sentence_pairs(24) | shuffle/sentence_pairs(24, random = 0.4) | shuffle/; s/batch 8 steps/batch 4 steps/'
go_on "other pairs, a smaller batch"
edit ''
mkdir moved
cp corpus/made.txt moved/same.txt
go_on "the same text elsewhere" -D 'files=moved/*.txt'
sed 's/$/\r/; s/^\r$/\r\n\r/' corpus/made.txt >moved/same.txt
go_on "the same text with other ends of lines" -D 'files=moved/*.txt'
echo "abc." >>corpus/made.txt
go_on "more text"
tail -n +2 moved/same.txt >corpus/made.txt
go_on "a sentence less"
rm corpus/made.txt
go_on "none"
tr -d '\r' <moved/same.txt >corpus/made.txt
go_on "the same again"
rm vocab.txt
go_on "another vocabulary" -D vocab=45
rm vocab.txt
go_on "another width" -D d=8
go_on "another seed" --seed 4
go_on "all steps done" --steps 3

echo "=== two entries: in turns, then the other way round"
awk -v RS= -v ORS='\n\n' '/^train/ { print; print "train on corpus steps 9 {\n    minimize mean(word.weight^2) with adamw(1e-3)\n}"; next }
    { print }' tiny.kept >two.upm
awk -v RS= -v ORS='\n\n' '/^train on corpus batch/ { first = $0; next } { print } /^train/ { print first }' two.upm >turned.upm
sed 's/^run {/run { order = alternate;/' two.upm >turns.upm
uptc run two.upm --steps 4 --quiet
cp -r runs/two runs/turned
uptc run turns.upm --dir runs/two --steps 5 | grep -v '^step'
uptc run turned.upm
