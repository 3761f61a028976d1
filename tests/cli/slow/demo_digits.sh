# What scripts/demo-digits does once uptc is built: the digits out of Debian's package, and examples/digits.upm on them.
. "$SOURCE/tests/cli/tiny"
"$SOURCE/scripts/deps" --unpack unpacked digits 2>/dev/null || { echo "the package cannot be downloaded"; exit 77; }
cp unpacked/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz .
uptc compile "$SOURCE/examples/digits.upm"
uptc run digits.upx --quiet
uptc eval digits.upx | awk '
    { print $1; value[$1] = $2 }
    END { print (value["elbo"] > value["pixels_alone"] + 3 ? "it learned" : "elbo " value["elbo"]) }'
