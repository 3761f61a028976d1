# Where LLVM compiles, and what it made is kept.
. "$SOURCE/tests/hostile/walk"
mkdir start
(cd start && make_tiny && uptc compile tiny.upm 2>/dev/null >&2)
export UPT_CACHE=cache
apart=1
walk uptc run tiny.upx --steps 3
