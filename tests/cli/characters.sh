# How many characters the ids of a text stand for: all of the text, however it is cut; and bits a character made of that.
. "$SOURCE/tests/cli/tiny"
printf 'Ein Bär und eine Maus.\n\nÄpfel — ja, für €3! 名前\n' >t.txt
echo "$(LC_ALL=C.UTF-8 wc -m <t.txt) characters"

count() {
    cat >c.upm <<UPM
import std.optim
import std.probe
tokenizer tok = $1
data flat = text("t.txt") | encode(tok) | pack(1, characters = true)
data bounded = text("t.txt") | encode(tok) | pack(4, overlap = 1, boundaries = true, characters = true)
param w = 1
train on flat batch 1 steps 1 { minimize w^2 with sgd(0.1) }
eval on flat {
    report ids = sum(ids >= 0), characters = sum(characters), bits = bits_per_character(log(8), mean(characters)), perplexity = perplexity(log(8))
}
predict on bounded { return characters, document }
UPM
    echo "=== $1"
    uptc run c.upm --quiet 2>&1 | grep -v training
    uptc eval c.upm 2>/dev/null | tail -n +2
    uptc predict c.upm 2>/dev/null | head -n 2
    rm -rf runs v.json m.txt v.txt
}
count 'bytes()'
count 'bpe("v.json", "m.txt", 280, from = "t.txt")'
count 'characters(from = "t.txt")'
count 'characters(size = 20, from = "t.txt")'
echo "=== wordpiece"
sed -i 's/^tokenizer.*/tokenizer tok = wordpiece("v.txt", 60, from = "t.txt")/' c.upm
try uptc check c.upm
