"""Programs that train forever take turns: while one computes, the others are stopped. Machines whose speed drifts, as those that are
shared do, then slow both of a pair alike."""
import atexit
import json
import os
import signal
import statistics
import subprocess
import sys
import time

LINES_A_SECOND = 20  # at most
for which in (signal.SIGINT, signal.SIGTERM):
    signal.signal(which, lambda number, _: sys.exit(128 + number))  # and not at once: sides end with the benchmark


class Side:
    """A program in a process of its own. Its lines are JSON objects: those with a rate or the word `steps` end so many steps, and what
    ends with any other, as an evaluation, is not timed."""
    def __init__(self, command, **more):
        self.command = command
        self.errors = open(os.path.join(more.pop("where"), "errors"), "w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True, **more)
        self.done = 0
        atexit.register(self.end)
        self.first = self.read()
        self.signal(signal.SIGSTOP)

    def signal(self, which):
        os.killpg(self.process.pid, which)

    def read(self):
        """The next line, or the end of the benchmark."""
        text = self.process.stdout.readline()
        if not text:
            self.process.wait()
            self.errors.seek(0)
            sys.exit(f"bench: {' '.join(self.command)}\n{self.errors.read()}")
        line = json.loads(text)
        counts = "steps" in line or any(key.endswith("_per_second") for key in line)
        return dict(line, steps=line["step" if "step" in line else "steps"]) if counts else line

    def turn(self, seconds):
        """Goes on for so long and at least a step; ms a step."""
        began, awake = self.done, 0
        self.signal(signal.SIGCONT)
        last = time.perf_counter()
        while awake < seconds or self.done == began:
            line = self.read()
            now = time.perf_counter()
            if "steps" in line:
                awake, self.done = awake + now - last, line["steps"]
            last = now
        self.signal(signal.SIGSTOP)
        return 1e3 * awake / (self.done - began)

    def end(self):
        """Its peak resident memory in MB."""
        atexit.unregister(self.end)
        if self.process.poll() is not None:
            return 0
        self.signal(signal.SIGKILL)
        self.process.stdout.close()
        self.errors.close()
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = status
        return used.ru_maxrss / 1024


def forever(step, **first):
    """What a Side does: a line of what is said first, then one each time that some steps are done, whose number it has."""
    done, told = 0, time.perf_counter()
    while True:
        step()
        done += 1
        now = time.perf_counter()
        if done == 1 or now - told > 1 / LINES_A_SECOND:
            print(json.dumps(dict(first, steps=done)), flush=True)
            told = now


WARM = 3  # turns of a step


class Pair:
    """Two sides in turn: ms a step of each, their peak memory in MB, the first lines, and the median of the paired ratios."""
    def __init__(self, rounds, seconds, *start):
        sides = [begin() for begin in start]
        for side in sides:
            for _ in range(WARM):
                side.turn(0)
            side.turn(seconds / 2)
        turns = [[side.turn(seconds) for side in sides] for _ in range(rounds)]
        self.ms = [statistics.median(column) for column in zip(*turns)]
        self.ratio = statistics.median(turn[0] / turn[-1] for turn in turns)
        self.first = [side.first for side in sides]
        self.mb = [side.end() for side in sides]
