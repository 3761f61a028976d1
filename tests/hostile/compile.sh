# check and compile, from a vocabulary that is still to be trained.
. "$SOURCE/tests/hostile/walk"
mkdir start
(cd start && make_tiny)
walk uptc check tiny.upm
walk uptc compile tiny.upm
