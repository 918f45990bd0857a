#!/usr/bin/env python3
"""From Kafka through four plugins into Postgres, beside what Postgres takes without any of it.

    python3 tests/bench/kafka_postgres.py [--posts N] [--rounds N]

The servers are started as the tests start them. pinhost's time is that of the whole process less that
of one that finds nothing to do: starting, joining the group, leaving it. Then the rows that it made are taken
out of the table, in binary, and go by one connection into an empty table that is like the first, with its
indexes: appended rows by COPY, upserted ones by COPY into a temporary table and the same INSERT … ON CONFLICT.
Runs take turns; what counts are the ratios.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import HERE, built, many_posts, options, run, server

TOPIC = "posts"
PARTITIONS = 2
TABLE = "pin"
KEY = "ind"
BAR = 0.7


def main():
    arguments = options(__doc__, posts=500_000, rounds=3)
    pinhost = built(arguments.debug)
    rates = {"append": ([], []), "upsert": ([], [])}
    used = {mode: [] for mode in rates}
    heap = {"KAFKA_HEAP": "1g", "KAFKA_JVM": "-server"}
    with server("kafka", "KAFKA", **heap) as kafka, server("postgres", "PG") as postgres:
        brokers, root = kafka["KAFKA_BOOTSTRAP"], postgres["PG_URL"].rsplit("/", 1)[0]
        send(kafka, brokers, many_posts(arguments.posts))
        for turn in range(arguments.rounds):
            for mode, (by_pinhost, by_postgres) in rates.items():
                database = f"bench_{mode}_{turn}"
                sql(f"{root}/postgres", f"CREATE DATABASE {database}")
                url = f"{root}/{database}"
                file = HERE / ("kafka-upsert.yaml" if mode == "upsert" else "kafka.yaml")
                command = [pinhost, "run", "--until-end", file]
                where = {"KAFKA_BROKERS": brokers, "KAFKA_TOPIC": TOPIC, "DATABASE_URL": url}
                worked = run(command, where)
                # Once more, with nothing left to do.
                idle = run(command, where)
                used[mode].append(worked.cpu / arguments.posts)
                by_pinhost.append(arguments.posts / (worked.seconds - idle.seconds))
                by_postgres.append(arguments.posts / load(url, mode, arguments.posts))
                sql(f"{root}/postgres", f"DROP DATABASE {database}")
    told(arguments, rates, used)


def send(kafka, brokers, posts):
    libraries = (Path(kafka["KAFKA_DATA"]) / "env").read_text().removeprefix("KAFKA_CP=").strip()
    java = ["java", "-cp", libraries]
    topic = ["--bootstrap-server", brokers, "--topic", TOPIC]
    make = ["org.apache.kafka.tools.TopicCommand", "--create", "--partitions", str(PARTITIONS)]
    subprocess.run([*java, *make, *topic], check=True, stdout=subprocess.DEVNULL)
    produce = [*java, "org.apache.kafka.tools.ConsoleProducer", *topic]
    with posts.open() as file:
        subprocess.run(produce, check=True, stdin=file, stdout=subprocess.DEVNULL)


def sql(url, *statements, stdin=subprocess.DEVNULL):
    command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]
    for statement in statements:
        command += ["-c", statement]
    return subprocess.run(
        [*command, url], check=True, stdin=stdin, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def load(url, mode, posts):
    """The same rows again, without pinhost."""
    columns = sql(
        url,
        "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) "
        f"FROM information_schema.columns WHERE table_name = '{TABLE}'",
    )
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as rows:
        subprocess.run(
            ["psql", "-c", f"COPY {TABLE} ({columns}) TO STDOUT (FORMAT binary)", url],
            check=True,
            stdout=rows,
        )
        sql(url, f"CREATE TABLE again (LIKE {TABLE} INCLUDING ALL)", "CHECKPOINT")
        names = columns.split(", ")
        if mode == "append":
            statements = [f"COPY again ({columns}) FROM STDIN (FORMAT binary)"]
        else:
            values = ", ".join(f"{name} = excluded.{name}" for name in names if name != KEY)
            statements = [
                "BEGIN",
                f"CREATE TEMPORARY TABLE stage ON COMMIT DROP AS SELECT {columns} FROM again",
                f"COPY stage ({columns}) FROM STDIN (FORMAT binary)",
                f"INSERT INTO again AS a ({columns}) SELECT {columns} FROM stage "
                f"ON CONFLICT ({KEY}) DO UPDATE SET {values} "
                "WHERE excluded._pinhost_version >= a._pinhost_version",
                "COMMIT",
            ]
        with open(rows.name, "rb") as encoded:
            began = time.monotonic()
            sql(url, *statements, stdin=encoded)
            took = time.monotonic() - began
    stored = sql(url, "SELECT count(*) FROM again")
    if int(stored) != posts:
        sys.exit(f"{stored} rows of {posts}")
    return took


def told(arguments, rates, used):
    print(f"{arguments.posts:,} posts, {PARTITIONS} partitions, median of {arguments.rounds} runs\n")
    print("| | pinhost, rows a second | its CPU µs a row | Postgres alone, rows a second | ratio |")
    print("|---|---:|---:|---:|---:|")
    for mode, measured in rates.items():
        ours, theirs = map(median, measured)
        cost = median(used[mode]) * 1e6
        ratio = f"{ours / theirs:.2f} (bar: ≥ {BAR})"
        print(f"| {mode} | {ours:,.0f} | {cost:.1f} | {theirs:,.0f} | {ratio} |")


if __name__ == "__main__":
    main()
