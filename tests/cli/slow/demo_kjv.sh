# What scripts/demo-kjv does once uptc is built: the text out of Debian's package, chapters held out, two steps, an evaluation beside counting.
. "$SOURCE/tests/cli/tiny"
missing=$("$SOURCE/scripts/deps" --list demo)
[ -z "$missing" ] || { echo "these packages are not installed: $missing"; exit 77; }
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "there is no NumPy for /usr/bin/python3"; exit 77; }
mkdir -p copy/build
cp -r "$SOURCE/scripts" "$SOURCE/models" "$SOURCE/bench" copy
ln -s "$(command -v uptc)" copy/build/uptc
printf '#!/bin/sh\n' >copy/scripts/build
cd copy || exit 9
try scripts/demo-kjv 0
try scripts/demo-kjv 2 | steady | sed 's/\(loss\|bits\) .*/\1 N/; s/[0-9.]*M of memory/N of memory/; /^Two hundred words/,/^loss/{/^Two hundred words/b; /^loss/b; d}'
wc -l demo/kjv/kept.txt demo/kjv/held.txt
grep -n "Jacob went out from Beersheba\|Abraham journeyed from thence" demo/kjv/*.txt | cut -c1-60
