# Texts and predictions of a run that is over.
. "$SOURCE/tests/hostile/walk"
mkdir -p start/corpus
(
    cd start
    for i in $(seq 8); do echo abcabcabc; done >corpus/made.txt
    cat >texts.upm <<'UPM'
import std.nn
import std.optim

const seq = 6
tokenizer tok = bytes()
data corpus = lines("corpus/*.txt") | encode(tok) | pack(seq + 1)

word   = Embedding(tok.size, 8)
attend = CausalAttention(8, 2, seq)
out    = Linear(8, tok.size)

train on corpus batch 2 steps 2 { minimize mean(cross_entropy(out(attend(word(ids[:, :-1]))), ids[:, 1:])) with adam(1e-2) }
generate(tok) batch 2 { return out(attend.next(word(token), at))[:, 0] }
predict on corpus batch 4 { return text = decode(tok, ids), first = ids[:, 0] }
UPM
    uptc run texts.upm --quiet
)
echo ab >input
walk uptc generate runs/texts --tokens 4 --temperature 0
printf 'ab\nabca\n\n' >start/prompts
walk uptc generate runs/texts --tokens 8 --prompts prompts --top-p 0.9
walk uptc predict runs/texts
walk uptc predict runs/texts -o rows.jsonl
