# The runs that look closer.
. "$SOURCE/tests/hostile/walk"
mkdir start
(cd start && make_tiny && uptc compile tiny.upm 2>/dev/null >&2)
walk uptc run tiny.upx --find-nan
walk uptc run tiny.upx --profile --quiet
