# What scripts/demo-digits does once uptc is built: the digits out of Debian's package, and each of examples/digits*.upm on them.
. "$SOURCE/tests/cli/tiny"
"$SOURCE/scripts/deps" --unpack unpacked digits 2>/dev/null || { echo "the package cannot be downloaded"; exit 77; }
cp unpacked/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz .
compare() { # PROGRAM VALUE: what VALUE of the evaluation must reach is said below
    uptc compile "$SOURCE/examples/$1.upm"
    uptc run "$1.upx" --quiet
    uptc eval "$1.upx" | awk -v what="$2" '
        { print $1; value[$1] = $2 }
        function get(name) { if (!(name in value)) print "no " name; return value[name] }
        END { ok = what == "elbo" ? get("elbo") > get("pixels_alone") + 3 : what == "mse" ? get("mse") < get("mean_picture") / 2 : \
                   get("distance") < get("pixels_alone") / 2
              print ok ? "it learned" : "it did not learn" }'
}
compare digits elbo
compare digits-autoencoder mse
compare digits-gan distance
uptc sample digits-gan.upx
