# scripts/demo in a fresh copy of the source, as on the first day: it builds, trains a few steps, evaluates and says where things
# are; a second time it goes on, and with 0 steps it only evaluates.
. "$SOURCE/tests/cli/tiny"
missing=$("$SOURCE/scripts/deps" --list build demo)
[ -z "$missing" ] || { echo "these packages are not installed: $missing"; exit 77; }
mkdir copy
(cd "$SOURCE" && tar -cf - --exclude=./build --exclude='./build-*' --exclude=./demo --exclude=./.git .) | tar -xf - -C copy
cd copy || exit 9
# What is right, and the words that it fills in, may differ from machine to machine.
luck() { sed -E 's/(accuracy|perplexity) +[-.e0-9]+/\1 N/g; s/^(  (eval\.)?filled ).*/\1 .../'; }

try scripts/demo 0
try scripts/demo 6 | steady | luck
ls demo demo/runs/bert-tiny
try scripts/demo 8 | steady | luck | grep -v '^ '
try scripts/demo 0 | steady | luck | head -10
try scripts/demo x
try scripts/demo -1
