"""The models that are timed: programs with their sizes, made-up data for all of them, and how upt runs one."""
import dataclasses
import gzip
import json
import os
import random
import re
import string
import struct
import subprocess
import sys
import tempfile
import zlib

import turns

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOREVER = 10**7  # steps
TICK = 8  # ids a sample in programs that make their words in the step
FIGURES = {"f32": ("fma", "dot_parts"), "bf16": ("dot_bf16",)}  # of `uptc doctor`: what products may be made of; the best is their peak
CHARACTERS = 65 + 5  # of the text that is made up, and a vocabulary of its own ids


@dataclasses.dataclass
class Case:
    what: str
    program: str  # in this repository
    peer: str  # of peer_models.py
    samples: int  # of a step
    ids: int = 0  # of a sample, by which uptc counts its rate; 0: it counts samples
    define: dict = dataclasses.field(default_factory=dict)  # constants of the program that differ from what it says
    sizes: dict = dataclasses.field(default_factory=dict)  # of the peer, besides `define`
    loss: str = "loss"  # what uptc calls what is minimised


def gpt(what, samples, seq, **define):
    return Case(what, "bench/gpt.upm", "gpt", samples, TICK, dict(define, samples=samples, seq=seq))


GPT2 = {"vocab": 50257, "d": 768, "layers": 12, "heads": 12}
VIT = {"size": 224, "channels": 3, "patch": 16, "d": 768, "layers": 12, "heads": 12, "e": 512, "depth": 8, "wide": 16, "samples": 4}
CASES = {
    "gpt-char": Case("models/gpt-char, 4 x 128, 12 x 64", "models/gpt-char.upm", "gpt", 12, 65,
                     sizes={"vocab": CHARACTERS, "seq": 64, "d": 128, "layers": 4, "heads": 4, "clip": 1}),
    "kjv": Case("models/kjv, 5 x 256, 16 x 128", "models/kjv.upm", "gpt", 16, 129, {"drop": 0},
                {"vocab": 2048, "seq": 128, "d": 256, "layers": 5, "heads": 4, "clip": 1}),
    "nanogpt": gpt("nanoGPT 6 x 384, 12 x 256", 12, 256, vocab=65, d=384, layers=6, heads=6),
    "gpt2-64": gpt("GPT-2 124M, 4 x 64", 4, 64, **GPT2),
    "gpt2-256": gpt("GPT-2 124M, 4 x 256", 4, 256, **GPT2),
    "lstm": Case("models/lstm, 2 x 256, 32 x 64", "models/lstm.upm", "lstm", 32, 65,
                 sizes={"vocab": CHARACTERS, "seq": 64, "d": 128, "hidden": 256, "layers": 2, "clip": 1}),
    "lstm-large": Case("models/lstm, 2 x 1500, 20 x 35", "models/lstm.upm", "lstm", 20, 36,
                       {"seq": 35, "d": 1500, "hidden": 1500, "samples": 20}, {"vocab": CHARACTERS, "layers": 2, "clip": 1}),
    "autoencoder": Case("models/autoencoder 784-512-256-32, 128", "models/autoencoder.upm", "autoencoder", 128,
                        sizes={"wide": 512, "narrow": 256}),
    "autoencoder-large": Case("models/autoencoder 784-2000-1000-32, 128", "models/autoencoder.upm", "autoencoder", 128,
                              define={"wide": 2000, "narrow": 1000}),
    "vae": Case("models/vae 784-400-20, 128", "models/vae.upm", "vae", 128, sizes={"width": 400, "z": 20}, loss="reconstruction + kl"),
    "vae-large": Case("models/vae 784-2000-200, 128", "models/vae.upm", "vae", 128, define={"width": 2000, "z": 200},
                      loss="reconstruction + kl"),
    "convae": Case("convolutional autoencoder, 64", "bench/convae.upm", "convae", 64),
    "mae": Case("models/mae, 4 x 64, 64 pictures of 28 x 28", "models/mae.upm", "mae", 64,
                sizes={"size": 28, "channels": 1, "patch": 4, "d": 64, "layers": 4, "heads": 4, "e": 64, "depth": 2, "wide": 4,
                       "seen": 24, "clip": 1}),
    "mae-large": Case("models/mae, ViT-Base, 4 pictures of 224 x 224", "models/mae.upm", "mae", 4,
                      define=dict(VIT, photographs="true", folder="photographs", hidden=0.75), sizes={"seen": 49, "clip": 1}),
    "classifier": Case("models/digit-classifier, 64", "models/digit-classifier.upm", "classifier", 64, define={"drop": 0}),
    "resnet": Case("ResNet-18 of 32 x 32, 128 views", "bench/resnet.upm", "resnet", 128, TICK, {"samples": 128}),
    "gan": Case("models/gan, width 32, 64", "models/gan.upm", "gan", 64, sizes={"width": 32, "z": 64}, loss="d_loss + r1"),
    "gan-large": Case("models/gan, width 128, 64", "models/gan.upm", "gan", 64, define={"width": 128, "z": 100}, loss="d_loss + r1"),
    "stylegan": Case("models/stylegan-lite, width 16, 32", "models/stylegan-lite.upm", "stylegan", 32,
                     sizes={"width": 16, "style": 64, "layers": 4}, loss="d_loss + r1"),
    "stylegan-large": Case("models/stylegan-lite, width 64, 32", "models/stylegan-lite.upm", "stylegan", 32,
                           define={"width": 64, "style": 512, "layers": 8}, loss="d_loss + r1"),
}
BERTS = {  # timed by bench/run
    "tiny": Case("tiny BERT, 4 x 256, 32 x 128", "bench/bert.upm", "", 32, TICK,
                      {"vocab": 8192, "seq": 128, "d": 256, "layers": 4, "heads": 4, "samples": 32}),
    "base": Case("BERT-base, 12 x 768, 8 x 128", "bench/bert.upm", "", 8, TICK,
                      {"vocab": 30522, "seq": 128, "d": 768, "layers": 12, "heads": 12, "samples": 8}),
}

# ---- data


def write_idx(path, *dims):
    count = 1
    for d in dims:
        count *= d
    data = random.Random(1).randbytes(count) if len(dims) > 1 else bytes(i % 10 for i in range(count))
    with gzip.open(path, "wb", 1) as f:
        f.write(struct.pack(f">{len(dims) + 1}I", 0x800 + len(dims), *dims) + data)


def write_png(path, side, seed):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    rows = b"".join(b"\0" + random.Random(seed * side + y).randbytes(3 * side) for y in range(side))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def write_text(path, words):
    """Of 65 characters, those that a model of Shakespeare's has."""
    r = random.Random(2)
    letters = string.ascii_letters + " .,;:!?'-&3$"
    known = ["".join(r.choices(letters, k=r.randint(2, 9))) for _ in range(4000)]
    with open(path, "w") as f:
        for at in range(0, words, 12):
            f.write(" ".join(r.choices(known, k=12)) + "\n")
        f.write(letters + "\n")


def make_data(where):
    """What the programs look for beside them."""
    for folder in ("mnist", "photographs", "corpus", "held"):
        os.mkdir(os.path.join(where, folder))
    for name, n in (("train", 2560), ("t10k", 256)):
        write_idx(os.path.join(where, f"mnist/{name}-images-idx3-ubyte.gz"), n, 28, 28)
        write_idx(os.path.join(where, f"mnist/{name}-labels-idx1-ubyte.gz"), n)
    for i in range(24):
        write_png(os.path.join(where, f"photographs/{i}.png"), VIT["size"], i)
    for name, words in (("train.txt", 40000), ("valid.txt", 2000), ("kept.txt", 100000), ("held.txt", 2000),
                        ("corpus/made.txt", 40000), ("held/made.txt", 2000)):
        write_text(os.path.join(where, name), words)
    with open(os.path.join(where, "bench.txt"), "w") as f:
        f.write("tick\n" * 4096)


# ---- upt


def compile_case(uptc, case, precision, where):
    """The .upx, and how many parameters are in it."""
    upx = os.path.join(where, "case.upx")
    define = [f"-D{k}={v}" for k, v in case.define.items()]
    done = subprocess.run([uptc, "compile", os.path.join(ROOT, case.program), "-o", upx, "--precision", precision] + define, cwd=where,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {case.program}\n{done.stderr}")
    return upx, int(re.search(r"(\d+) parameters", done.stdout)[1])


def run_command(uptc, upx, threads, steps, where, *more):
    return [uptc, "run", upx, "--json", "--threads", str(threads), "--steps", str(steps), "--save-every", "1000000",
            "--dir", tempfile.mkdtemp(dir=where), *more]


def start(uptc, upx, threads, where):
    """As a side (bench/turns.py) that writes as seldom as that asks: a step that is logged takes longer."""
    def begin(every):
        return turns.Side(run_command(uptc, upx, threads, FOREVER, where, "--log-every", str(every)), where=where, cwd=where)
    side = begin(1)
    every = round(1e3 / turns.LINES_A_SECOND / min(side.turn(0) for _ in range(turns.WARM)))
    if every < 2:
        return side
    side.end()
    return begin(every)


def profile(uptc, upx, threads, steps, where):
    command = run_command(uptc, upx, threads, steps + 4, where, f"--profile={steps}")
    out = subprocess.run(command, cwd=where, capture_output=True, text=True, check=True).stdout
    return next(json.loads(line)["profile"] for line in out.splitlines() if line.startswith('{"profile"'))


def find_peaks(uptc, threads, precisions, goes=3):
    """Operations a second of products, a multiply-add being two. The best of several goes: what disturbs one only ever slows it."""
    peaks = dict.fromkeys(precisions, 0)
    for _ in range(goes):
        machine = json.loads(subprocess.run([uptc, "doctor", "--json"], capture_output=True, text=True, check=True).stdout)
        for of in precisions:
            for one, every in (machine["figures"][f] for f in FIGURES[of]):
                peaks[of] = max(peaks[of], 1e9 * (every if threads >= machine["cores"] else one * threads))
    return peaks
