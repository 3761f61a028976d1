# A run that is stopped: by Ctrl-C, by signals, by a reader that has gone, by output that cannot be written. Each saves what was
# done, says where, and goes on to the bytes of a run that was left alone. And a second run in the folder of one that still runs.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm >/dev/null 2>&1
endless='--steps 100M --log-every 1 --save-every 0 --eval-every 0'

# When a run stops is a matter of luck.
steady_steps() { sed 's/step [0-9]*\( of\|\/\|;\)/step N\1/; s/step-[0-9]*/step-N/'; }

# started DIR COMMAND...: an endless run in the background that has begun to train.
started() {
    dir=$1
    shift
    "$@" run tiny.upx --dir "$dir" $endless >out 2>&1 &
    pid=$!
    while ! [ -s "$dir/metrics.jsonl" ]; do sleep 0.02; done
}

# ended: how it ended, what it said besides its steps, and what it left; the last step told is the one that is saved.
ended() {
    wait $pid
    echo "[$?]"
    what_is_left
}

what_is_left() {
    grep -v '^step\|^nohup:' out | steady_steps
    ls "$dir" | steady_steps
    step=$(uptc show "$dir/last.safetensors" | sed -n 's/^step: //p')
    tail -1 "$dir/metrics.jsonl" | grep -q "^{\"step\":$step," || echo "metrics.jsonl ends at another step than $step"
}

# whole: twenty steps on, are they the bytes of a run that never stopped?
whole() {
    uptc run tiny.upx --dir "$dir" --steps $((step + 20)) --quiet --eval-every 0
    uptc run tiny.upx --dir "$dir.whole" --steps $((step + 20)) --quiet --eval-every 0
    cmp "$dir/last.safetensors" "$dir.whole/last.safetensors" && echo "and goes on to the same bytes"
}

for signal in INT TERM HUP; do
    echo "=== SIG$signal"
    started $signal uptc
    kill -$signal $pid
    ended
    [ $signal != INT ] || whole
done

echo "=== nohup"
started nohup nohup uptc
kill -HUP $pid
sleep 0.1
kill -TERM $pid
ended

echo "=== a second run"
started two uptc
try uptc run tiny.upx --dir two
try uptc run tiny.upm --dir two --steps 5 --quiet
kill -TERM $pid
ended

echo "=== a reader that goes"
dir=pipe
(uptc run tiny.upx --dir pipe $endless 2>out; echo "[$?]" >code) | head -1 | steady
cat code
what_is_left
whole

echo "=== a full disk under the output"
uptc run tiny.upx --dir full $endless >/dev/full 2>out &
pid=$!
dir=full
ended
try uptc run tiny.upx --dir full --quiet --steps 2
uptc run tiny.upx --dir full --steps 1 >/dev/full
echo "[$?]"
echo "=== no output at all"
uptc run tiny.upx --dir closed --steps 2 >&-
echo "[$?]"
wc -c <closed/.lock
uptc run tiny.upx --dir closed --steps 2 --quiet <&- >&- 2>&-
uptc run tiny.upx --dir open --steps 2 --quiet
cmp closed/last.safetensors open/last.safetensors && echo "the same bytes"
