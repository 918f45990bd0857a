#!/usr/bin/env python3
"""A rule in a Python process, beside the same rule in a process of its own.

    python3 tests/bench/python.py [--posts N] [--rounds N]

The Python that runs this has the wheel and pyarrow. Both ways take columns in batches of 10,000 rows; what counts is the CPU
time of the process and of its children, less that of one that cleans a single batch. `cargo bench -p pinhost --bench
embedded` compares traps without signals, as Python has them, with those of the command.
"""

import sys
from statistics import median

from common import FOLDER, REPOSITORY, many_posts, options, run

PIPE_BAR = 0.4
IMPORT_BAR = 30
RULE = REPOSITORY / "pipelines/rules/pin.yaml"

READ = """
import sys
import pyarrow as pa
table = pa.ipc.open_file(pa.memory_map(sys.argv[1])).read_all()
if sys.argv[2] == "one":
    table = table.slice(0, 10_000)
batches = table.to_batches(max_chunksize=10_000)
"""

IN_PROCESS = f"""
import pinhost
rows = pinhost.Rule({str(RULE)!r}).clean(pa.RecordBatchReader.from_batches(table.schema, batches))
print(sum(len(batch) for batch in rows))
"""

PIPE = f"""
import subprocess, threading
command = [sys.executable, "-m", "pinhost", "pipe", {str(RULE)!r}, "--format", "arrow", "--threads", "1"]
process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def feed():
    with process.stdin, pa.ipc.new_stream(process.stdin, table.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
threading.Thread(target=feed).start()
print(sum(batch.num_rows for batch in pa.ipc.open_stream(process.stdout)))
sys.exit(process.wait())
"""


def columns(count):
    """The posts as an Arrow file."""
    path = FOLDER / f"posts-{count}.arrow"
    if not path.exists():
        import pyarrow as pa
        import pyarrow.json

        table = pyarrow.json.read_json(many_posts(count)).drop_columns(["downloaded"])
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    return path


def cpu(program, posts):
    """Microseconds a row."""
    path = columns(posts)
    whole = run([sys.executable, "-c", READ + program, path, "all"]).cpu
    return (whole - run([sys.executable, "-c", READ + program, path, "one"]).cpu) / (posts - 10_000) * 1e6


def main():
    arguments = options(__doc__, posts=1_000_000, rounds=3)
    ours, pipe = [], []
    for _ in range(arguments.rounds):
        ours.append(cpu(IN_PROCESS, arguments.posts))
        pipe.append(cpu(PIPE, arguments.posts))
    ours, pipe = median(ours), median(pipe)
    nothing = median(run([sys.executable, "-c", ""]).seconds for _ in range(9))
    imported = median(run([sys.executable, "-c", "import pinhost"]).seconds for _ in range(9))
    print(f"{arguments.posts:,} posts, median of {arguments.rounds} runs\n")
    print("| | CPU µs a row |\n|---|---:|")
    print(f"| in process | {ours:.2f} |\n| by `pinhost pipe` | {pipe:.2f} |\n")
    print(f"in process / pipe {ours / pipe:8.2f}   (bar: ≤ {PIPE_BAR})")
    print(f"import pinhost {(imported - nothing) * 1000:8.0f} ms   (bar: ≤ {IMPORT_BAR})")


if __name__ == "__main__":
    main()
