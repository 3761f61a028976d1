# The programs of tests/programs as trainings: losses at the end against stored ones (to 2e-3: another processor sums in another
# order), the same bytes with 1 and 2 threads and from a checkpoint in the middle.
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 8 160 4 8 >corpus/a.txt
cp "$SOURCE"/tests/programs/*.upm .

# program NAME STEPS METRIC=LOSS...: a metric at the last step
program() {
    name=$1 steps=$2
    shift 2
    uptc compile $name.upm >/dev/null || return
    uptc run $name.upx --dir $name --quiet --threads 2 --save-every 25
    uptc run $name.upx --dir $name.one --quiet --threads 1
    cmp $name/last.safetensors $name.one/last.safetensors && echo "$name: 1 and 2 threads, the same bytes"
    mkdir $name.cut
    cp $name/step-$((steps - steps % 25 - (steps % 25 ? 0 : 25))).safetensors $name.cut/last.safetensors
    uptc run $name.upx --dir $name.cut --quiet
    cmp $name/last.safetensors $name.cut/last.safetensors && echo "$name: resumed, the same bytes"
    for pair; do near "$name, ${pair%=*}" "$(metric $name $steps ${pair%=*})" "${pair#*=}" 2e-3; done
}
program gan 60 d_loss=1.38530123 g_loss=0.691686988 radius=0.817688704 eval.radius=0.811798692
program pictures 30 d_loss=4.62743139 g_loss=0.156970531 r1=2.47026491 eval.size=0.190389126
program moco 60 loss=1.79321563
program teacher 40 loss=2.62203479
program statistics 40 rebuilt=0.114207231 divergence=0.123241194 eval.error=0.12643905 eval.worst=0.296527028
program contrast 40 close=1.228212 even=0.189004123 skip=1.21597052
program gpt 40 loss=2.9403522 eval.perplexity=16.7397079 eval.right=0.153439149
