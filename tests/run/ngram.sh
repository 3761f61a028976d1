# bench/ngram gives the losses of a plain implementation of the paper's formulas on the same ids, and its probabilities of all next ids
# sum to one, after a context that it knows and after one that it does not.
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "there is no NumPy for /usr/bin/python3"; exit 77; }
ngram() { /usr/bin/python3 "$SOURCE/bench/ngram" "$@"; }
ids() { # SEED N: ids below 9, each one of three that may follow the one before
    awk -v x="$1" -v n="$2" '
    function draw(n) { x = x * 16807 % 2147483647; return x % n }
    BEGIN { for (id = 3; n > 0; n--) { printf "%d ", id; k = draw(6); id = (3 * id + 1 + (k > 2) + (k > 4)) % 9 } }'
}
ids 5 400 >kept
ids 6 60 >held
ngram kept held --size 10

# What is said of each next id after two others, from the mean over both less that over the first.
total() {
    for last in 0 1 2 3 4 5 6 7 8 9; do
        echo "$1" >short
        echo "$1 $last" >long
        ngram kept short --size 10 --order 3 | tail -n 1
        ngram kept long --size 10 --order 3 | tail -n 1
    done | awk '{ if (NR % 2) before = $3; else sum += exp(before - 2 * $3) } END { printf "after '"$1"': %.2f\n", sum }'
}
total "3 1"
total "9 9"

echo "1 2 10" >held
ngram kept held --size 10
echo "1 -2" >held
ngram kept held
