# Every optimiser against the same few lines in awk, in double precision: six steps on a loss whose gradient is known,
# (w - c)^4 / 4, with decay on what has two dimensions, clipping, rates by part and schedules. Differences are rounding: 2e-6, and
# 1e-5 where 1 - 0.999^t is taken in f32 (exact to 6e-5 of itself at t = 1, of which the root halves, on a step of 0.1).
. "$SOURCE/tests/run/common.inc"
mkdir corpus
text 1 40 3 6 >corpus/a.txt

# trains RULE CLIP LR_X TOLERANCE AWK: AWK is the rule for element i (gradient g, number of the update t; x times the rate); w[i] changes
trains() {
    cat >trial.upm <<UPM
import std.init
import std.optim
tokenizer tok = bytes()
data pace = lines("corpus/a.txt") | encode(tok) | pad(4)
fn start(shape) = cast(iota(shape[0]), f32) * 0.5 - 0.3
param a[3, 1] = fn (shape) { return start(shape)[:, None] }
param b[2] = start
fn quartic(x, c) = sum((x - c)^4) / 4
train on pace batch 4 steps 6 {
    minimize quartic(a, 1.5) + quartic(b, -1) with $1$2
    report a0 = a[0, 0], a1 = a[1, 0], a2 = a[2, 0], b0 = b[0], b1 = b[1]
}
UPM
    [ -z "$3" ] || sed -i "s/ with / over a, b lr x $3 with /" trial.upm
    rm -rf out
    uptc run trial.upm --dir out --quiet --log-every 1 || return
    tr -d '{}"' <out/metrics.jsonl | tr ',' ' ' >got
    awk -v rule="$1$2${3:+, lr x $3}" -v clip="${2#, clip = }" -v times="${3:-1}" -v tolerance="$4" 'function abs(x) { return x < 0 ? -x : x }
    BEGIN {
        split("-0.3 0.2 0.7 -0.3 0.2", w, " "); pi = atan2(0, -1); name[1] = "a0"; name[2] = "a1"; name[3] = "a2"; name[4] = "b0"; name[5] = "b1"
        worst = 0
        for (t = 1; t <= 6; t++) {
            square = 0
            for (i = 1; i <= 5; i++) { grad[i] = (w[i] - (i < 4 ? 1.5 : -1))^3; square += grad[i]^2 }
            scale = clip != "" && sqrt(square) > clip ? clip / sqrt(square) : 1
            getline line <"got"
            for (i = 1; i <= 5; i++) {
                g = grad[i] * scale; decays = i < 4; x = i < 4 ? 1 : times; step = t - 1; steps = 6
                '"$5"'
                at = match(line, name[i] ":"); value = substr(line, at + 3); sub(/ .*/, "", value)
                if (at == 0) { print "no " name[i] " in " line; exit }
                if (abs(value - w[i]) > worst) worst = abs(value - w[i])
            }
        }
        print rule ": " (worst <= tolerance ? "as in awk" : "off by " worst)
    }' 
}

trains 'sgd(0.1)' '' '' 2e-6 'w[i] -= 0.1 * g'
trains 'sgd(0.1, decay = 0.5)' '' '' 2e-6 'if (decays) g += 0.5 * w[i]; w[i] -= 0.1 * g'
trains 'sgd(0.05, momentum = 0.9)' '' '' 2e-6 'v[i] = 0.9 * v[i] + g; w[i] -= 0.05 * v[i]'
trains 'sgd(0.05, momentum = 0.9, nesterov = true)' ', clip = 0.7' '' 2e-6 'v[i] = 0.9 * v[i] + g; w[i] -= 0.05 * (g + 0.9 * v[i])'
trains 'sgd(linear(0.1, floor = 0.02))' '' 3 2e-6 'w[i] -= x * (0.02 + 0.08 * (1 - step / steps)) * g'
trains 'adam(0.1)' '' '' 1e-5 'm[i] = 0.9 * m[i] + 0.1 * g; v[i] = 0.999 * v[i] + 0.001 * g^2
    w[i] -= 0.1 * (m[i] / (1 - 0.9^t)) / (sqrt(v[i] / (1 - 0.999^t)) + 1e-8)'
trains 'adam(cosine(0.1), beta1 = 0.5, beta2 = 0.9, eps = 1e-2)' ', clip = 0.3' 0.5 2e-6 'm[i] = 0.5 * m[i] + 0.5 * g; v[i] = 0.9 * v[i] + 0.1 * g^2
    w[i] -= x * 0.1 * 0.5 * (1 + cos(pi * step / steps)) * (m[i] / (1 - 0.5^t)) / (sqrt(v[i] / (1 - 0.9^t)) + 1e-2)'
trains 'adamw(warmup_linear(0.1, 2), decay = 0.3)' '' '' 1e-5 'lr = step + 1 < 2 ? (step + 1) / 2 : 1; if ((steps - step) / (steps - 2) < lr) lr = (steps - step) / (steps - 2); lr *= 0.1
    m[i] = 0.9 * m[i] + 0.1 * g; v[i] = 0.999 * v[i] + 0.001 * g^2
    if (decays) w[i] *= 1 - lr * 0.3
    w[i] -= lr * (m[i] / (1 - 0.9^t)) / (sqrt(v[i] / (1 - 0.999^t)) + 1e-8)'
