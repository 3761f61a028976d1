# What a run looks like on a terminal: one line drawn over and over and never wider than the terminal, colours, Ctrl-C; and without
# a terminal plain lines.
command -v script >/dev/null || { echo "there is no script(1) to make a terminal with"; exit 77; }
. "$SOURCE/tests/cli/tiny"
make_tiny
sed -i 's/report loss, most = max(ids)/report loss, most = max(ids), a_long_name = 12, another_long_name = 0.5, and_one_more = mean(cast(ids, f32))/' tiny.upm
uptc compile tiny.upm >/dev/null 2>&1
unset NO_COLOR COLUMNS
export TERM=xterm

# on COLUMNS COMMAND: what the terminal is sent, its newlines as usual.
on() { script -qec "stty cols $1; $2" /dev/null | sed 's/\r$//; s/itself has .*/itself has N/'; }
# What stays on the screen.
screen() { sed 's/.*\r\x1b\[K//'; }
# What it is told besides text.
codes() { grep -o "$(printf '\033')\[[0-9;]*[a-zA-Z]" | sort -u | tr '\033\n' '^ '; echo; }
frames() { grep -o "step [^$(printf '\r')]*$(printf '\r')" | sed 's/\x1b\[[0-9;]*[a-zA-Z]//g; s/\r//'; }

long='--steps 10k --log-every 100 --eval-every 0 --save-every 0'
for columns in 80 50 20 200; do
    echo "=== $columns columns"
    on $columns "uptc run tiny.upx --dir r$columns $long" >sent
    frames <sent >drawn
    [ "$(wc -l <drawn)" -gt 2 ] || echo "drawn only $(wc -l <drawn) times"
    awk -v most=$columns 'length($0) >= most' drawn
    tail -1 drawn | steady | sed 's/step [0-9]*/step N/; s/loss [0-9.]*/loss N/; s/more [0-9.]*/more N/'
    tail -1 drawn | grep -o ' tokens/s\|left$'
    screen <sent | steady | sed 's/loss [0-9.]*/loss N/; s/more [0-9.]*/more N/'
    codes <sent
done
echo "=== NO_COLOR, TERM=dumb, --quiet, --json, a pipe"
NO_COLOR=1 on 80 "uptc run tiny.upx --dir n $long" | codes
TERM=dumb on 80 "uptc run tiny.upx --dir d --eval-every 0" >sent
codes <sent
steady <sent
on 80 "uptc run tiny.upx --dir q --quiet"
on 80 "uptc run tiny.upx --dir j --json" | codes
uptc run tiny.upx --dir p | codes

echo "=== Ctrl-C"
while ! [ -s c/metrics.jsonl ]; do sleep 0.05; done | { cat; sleep 0.3; printf '\003'; sleep 0.5; } |
    script -qec "stty cols 80; uptc run tiny.upx --dir c --steps 100M --save-every 0 --eval-every 0" /dev/null >sent
echo "[$?]"
# The terminal shows ^C, which the next drawing of the line wipes away, if there is one.
tr -d '\r' <sent | sed 's/.*\x1b\[K//; s/^^C//; s/step [0-9]*/step N/; s/itself has .*/itself has N/'

echo "=== errors"
sed 's/cross_entropy/cross_entrpy/' tiny.upm >wrong.upm
on 80 "uptc check wrong.upm" | tr '\033' '^'
on 80 "NO_COLOR=1 uptc check wrong.upm" | codes
uptc check wrong.upm 2>&1 | codes
on 80 "uptc show none.upx" | codes
