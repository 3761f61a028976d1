# run: the whole of it, and on from a checkpoint with a program that is compiled.
. "$SOURCE/tests/hostile/walk"
mkdir start
(cd start && make_tiny && uptc compile tiny.upm 2>/dev/null >&2)
walk uptc run tiny.upm
(cd start && uptc run tiny.upx --steps 10 --quiet)
walk uptc run tiny.upx
