# A file that imports another: the student learns, the teacher comes from its own run's checkpoint and what is frozen stays, bit for
# bit; only what the student's losses reach has optimiser state.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 5 200 4 8 >corpus/a.txt
cp "$SOURCE"/tests/programs/teacher.upm "$SOURCE"/tests/programs/distil.upm .
uptc run teacher.upm --quiet
uptc run distil.upm --dir first --quiet --steps 1 -D 'from="runs/teacher/last.safetensors"'
uptc run distil.upm --dir whole --quiet -D 'from="runs/teacher/last.safetensors"'
uptc run distil.upm --dir blank --quiet --steps 1
for name in reader.letter.weight reader.layer.1.weight reader.norm.bias head.weight head.bias; do
    same "$name in both files" "$(tensor runs/teacher/last.safetensors $name)" \
        "$(tensor whole/last.safetensors $name)"
done
for name in reader.layer.0.weight head.bias tuned.layer.0.weight tuned.layer.0.bias; do
    same "$name after 1 and 40 steps" "$(tensor first/last.safetensors $name)" "$(tensor whole/last.safetensors $name)"
done
for name in student.letter.weight words.bias tuned.layer.1.weight; do
    [ "$(tensor first/last.safetensors $name)" != "$(tensor whole/last.safetensors $name)" ] && echo "$name moves"
done
[ "$(tensor blank/last.safetensors reader.letter.weight)" != "$(tensor first/last.safetensors reader.letter.weight)" ] &&
    echo "without the checkpoint it is another teacher"
uptc show whole/last.safetensors | sed -n 's/^optim\.0\.\(.*\)\.m .*/\1/p'
