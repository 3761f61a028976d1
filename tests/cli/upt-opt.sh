# upt-opt as a person types it: standard input and output, -o, passes by name, and what it says when something is wrong.
cp "$SOURCE/tests/ir/grad.ir" . || exit 9
upt-opt - <grad.ir | cmp - grad.ir && echo "standard input comes back"
upt-opt grad.ir --verify -o copy.ir && cmp copy.ir grad.ir && echo "a file comes back"
upt-opt grad.ir -p autodiff --check-each | grep -c ' grad '
for wrong in 'nothing.ir' 'grad.ir -p nonsense' '--nonsense' 'grad.ir -o' 'grad.ir copy.ir' ''; do
    echo "--- upt-opt $wrong"
    upt-opt $wrong 2>&1 | head -1
    upt-opt $wrong >/dev/null 2>&1
    echo "exit code $?"
done
echo "--- text cut short"
head -c 719 grad.ir >cut.ir
upt-opt cut.ir
echo "exit code $?"
echo "--- a rule of the stage broken"
sed 's/program built/program built primitive/' grad.ir >early.ir
upt-opt early.ir --verify
upt-opt early.ir -p whole_set
echo "--- stages out of order, and a pass twice"
sed 's/program built/program built fused/' grad.ir >gap.ir
upt-opt gap.ir --verify
upt-opt grad.ir -p autodiff -p autodiff
