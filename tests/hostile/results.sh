# What is done with a run that is over.
. "$SOURCE/tests/hostile/walk"
mkdir start
(cd start && make_tiny && uptc compile tiny.upm 2>/dev/null >&2 && uptc run tiny.upx --quiet)
walk uptc eval tiny.upx
walk uptc show tiny.upx
walk uptc show runs/tiny/last.safetensors
printf 'ba ca da\nba ca\n' >input
walk uptc tokenizer encode vocab.txt
printf '5 6 7\n8 9\n' >input
walk uptc tokenizer decode vocab.txt
