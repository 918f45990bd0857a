#!/usr/bin/env python3
"""Posts from JSON to Parquet by Spark: cleaned by a rule, by Spark's own functions, and not at all.

    python3 tests/bench/spark.py [--posts N] [--rounds N]

The Python that runs this has the wheel and pyspark. A run is a process with its JVM, and its CPU time is all that counts.
Runs take turns. The rows of both cleanings are compared.
"""

import sys
from statistics import median

from common import FOLDER, REPOSITORY, many_posts, options, run

FUNCTIONS_BAR = 0.75
NOTHING_BAR = 1.1
WAYS = ["rule", "functions", "nothing"]

JOB = f"""
import sys
way, posts, out = sys.argv[1:]
sys.path.insert(0, {str(REPOSITORY / "host/python/tests")!r})
from pyspark.sql import functions as F
from spark_session import spark

session = spark("local[2]", **{{"spark.driver.memory": "4g"}})
texts = "unique_id title description poster_name follower_count tag_list is_image_or_video image_src"
texts = ", ".join(name + " string" for name in texts.split())
schema = "index long, " + texts + ", downloaded int, save_location string, category string"

def without(name, *placeholders):
    column = F.col(name)
    return F.when(column.isin("", *placeholders), None).otherwise(column).alias(name)

def cleaned(frame):
    spelled = r"^(\\d+(?:\\.\\d+)?)\\s*([kmb]?)$"
    count = F.lower(F.trim("follower_count"))
    number, unit = F.regexp_extract(count, spelled, 1), F.regexp_extract(count, spelled, 2)
    times = F.when(unit == "k", 1_000).when(unit == "m", 1_000_000).when(unit == "b", 1_000_000_000).otherwise(1)
    followers = F.when(number != "", (number.cast("decimal(18,6)") * times).cast("long"))
    tags = F.array_join(F.transform(F.split("tag_list", ","), F.trim), ",")
    none = F.col("tag_list").isin("", "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e")
    return frame.select(
        F.col("index").alias("ind"), "unique_id", without("title", "No Title Data Available"),
        without("description", "No description available Story format", "No description available"),
        followers.alias("follower_count"), without("poster_name", "User Info Error"),
        F.when(none, None).otherwise(tags).alias("tag_list"), "is_image_or_video",
        without("image_src", "Image src error."),
        F.regexp_replace("save_location", "^Local save in ", "").alias("save_location"), "category",
    )

if way == "rule":
    import pinhost.spark
    frame = pinhost.spark.clean_json(session.read.text(posts), {str(REPOSITORY / "pipelines/rules/pin.yaml")!r}, rejects=None)
else:
    frame = session.read.schema(schema).json(posts)
    frame = cleaned(frame) if way == "functions" else frame
frame.write.mode("overwrite").parquet(out)
session.stop()
"""


def rows(way):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(FOLDER / f"spark-{way}")
    return table.select(sorted(table.column_names)).sort_by("ind")


def main():
    arguments = options(__doc__, posts=1_000_000, rounds=3)
    posts = many_posts(arguments.posts)
    used = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            used[way].append(run([sys.executable, "-c", JOB, way, posts, FOLDER / f"spark-{way}"]).cpu)
    used = {way: median(cpu) for way, cpu in used.items()}
    print(f"{arguments.posts:,} posts, median of {arguments.rounds} runs\n")
    print("| JSON to Parquet | CPU seconds |\n|---|---:|")
    for way, cpu in used.items():
        print(f"| {way} | {cpu:.1f} |")
    print(f"\nrule / functions {used['rule'] / used['functions']:8.2f}   (bar: ≤ {FUNCTIONS_BAR})")
    print(f"rule / nothing   {used['rule'] / used['nothing']:8.2f}   (bar: ≤ {NOTHING_BAR})")
    ours, theirs = rows("rule"), rows("functions")
    differing = [name for name in ours.column_names if not ours[name].equals(theirs[name])]
    print("all values are equal" if not differing else f"values differ in {differing}")


if __name__ == "__main__":
    main()
