# Hidden words of a wordpiece vocabulary, with the model and the objective of models/. In its first steps it does what it did when
# this was written; in 3000 it learns much of what may stand between two words (three words may follow each; one that knew
# only frequencies would pay `unigram`).
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 9 1200 5 9 12 >corpus/a.txt
sed "s#\"encoder.upm\"#\"$SOURCE/models/encoder.upm\"#" "$SOURCE/models/bert-tiny.upm" >bert-tiny.upm
uptc compile bert-tiny.upm -D vocab=80 -D d=32 -D seq=32 -D samples=16 -D rate=4e-3 -D beta2=0.999 -D warmup=30 -D length=3000 >/dev/null 2>&1
cksum vocab.txt
uptc run bert-tiny.upx --dir out --quiet
near "hidden words at step 1" "$(metric out 1 mlm)" 4.36083078 1e-5
near "hidden words at step 100" "$(metric out 100 mlm)" 3.54029584 2e-3
near "hidden words at step 200" "$(metric out 200 mlm)" 3.51277614 1e-2
near "next sentence at step 200" "$(metric out 200 nsp)" 0.677766562 1e-2
near "unigram entropy" "$(metric out 3000 eval.unigram)" 3.1898427 1e-6
awk -v gain="$(metric out 3000 eval.gain)" 'BEGIN {
    print (gain > 1 ? "more than a nat better than by frequency" : "gain " gain)
}'
uptc eval bert-tiny.upx --dir out --json | tr ',{}' '\n\n\n' | sed -n 's/^ *"mlm": *\(.*\)/\1/p' >again
near "uptc eval" "$(cat again)" "$(metric out 3000 eval.mlm)" 0
