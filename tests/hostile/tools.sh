# upt-opt; and doctor until it measures, which takes long where a write moves a few bytes.
. "$SOURCE/tests/hostile/walk"
mkdir start
cp "$SOURCE/tests/ir/program.ir" start
walk upt-opt program.ir -p simplify -o out.ir
command="uptc doctor" refused=0
for n in 0 1 2 3 5 10 30 100; do at UPT_FAIL_ALLOC=$n uptc doctor; done
echo "$command: refused $refused times"
