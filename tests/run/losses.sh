# The first 100 losses of small models, step by step, against those of tests/run/losses, which another processor computed (kernels and
# products for Haswell): to 1e-5; after 100 steps Zen 4 is 8e-7 from them. `tests/run_files --bless` writes them anew.
. "$SOURCE/tests/run/common.inc"
[ -z "$BLESS" ] || export UPT_CPU=x86-64-v3 OPENBLAS_CORETYPE=Haswell
mkdir corpus
text 8 160 4 8 8 >corpus/a.txt
cp "$SOURCE"/models/*.upm .
cp "$SOURCE"/tests/programs/*.upm . # some have the name of a model

# losses NAME [-D name=value]...: every number of every step but the rate and what is counted
losses() {
    name=$1 stored=$SOURCE/tests/run/losses/$1
    shift
    uptc run $name.upm "$@" --steps 100 --log-every 1 --eval-every 0 --save-every 0 --quiet --dir $name 2>log || cat log
    [ -s $name/metrics.jsonl ] || return
    grep -v '"eval\.' $name/metrics.jsonl | sed -E 's/,"(tokens_per_second|accuracy|top1)":[^,}]*//g; s/[{}"]//g; s/[:,]/ /g' >got
    [ -z "$BLESS" ] || cp got "$stored"
    paste -d '\n' "$stored" got | awk -v name=$name '
        function differs(x, y) { return y ~ /^[-0-9]/ ? (x - y)^2 > 1e-10 * y^2 : x != y }
        NR % 2 { line = $0; n = split($0, want, " "); next }
        {
            bad = NF != n
            for (i = 1; i <= n; i++) bad += differs($i, want[i])
            if (bad) { print name ": " $0 ", not " line; exit }
        }
        END { if (!bad) print name ": " NR / 2 " steps as stored" }'
}
losses bert-tiny -D vocab=80 -D d=32 -D seq=32 -D samples=8 -D warmup=10
losses bert-small -D vocab=80 -D d=32 -D seq=32 -D samples=8 -D warmup=10
losses gpt
losses moco
losses teacher
