"""What the peers share: how a result is printed, and how a peer meets the allocator that our program brings."""

import json
import os
import statistics
import subprocess
import sys
import time

# glibc keeps what it was given instead of returning large tensors to the kernel at every step: what a user can set
# without changing a line of code.
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
MARK = "SYNTHMR_BENCH_TUNED"


def report(bench, system, seconds, **more):
    """Prints the line of one measurement; under the tuned allocator the system says so."""
    line = {
        "bench": bench,
        "system": system + (", tuned allocator" if os.environ.get(MARK) else ""),
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "runs": len(seconds),
    }
    print(json.dumps(line | more), flush=True)


def arguments(runs, side, batch):
    """[RUNS [THREADS [SIDE [BATCH]]]] of the command line with defaults (2 threads), the threads being set."""
    import torch  # Not every peer has it.

    given = [int(word) for word in sys.argv[1:5]]
    defaults = [runs, 2, side, batch]
    runs, threads, side, batch = given + defaults[len(given) :]
    torch.set_num_threads(threads)
    return runs, side, batch


def seconds(runs, work, warm_up=1):
    """Times of `work`, called `warm_up` times before the clock starts."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def again_with_tuned_allocator():
    """Runs the calling script once more, in a process of its own: glibc reads its settings at start."""
    if sys.platform.startswith("linux") and not os.environ.get(MARK):
        subprocess.run([sys.executable, *sys.argv], check=True, env=os.environ | TUNED | {MARK: "1"})
