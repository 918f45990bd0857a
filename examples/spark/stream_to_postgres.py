"""Clean posts as they arrive and write every micro-batch to Postgres exactly once.

    spark-submit stream_to_postgres.py RULE POSTS CHECKPOINT POSTGRES_URL

After a crash, Spark repeats a micro-batch under the same number and with the same records. The transaction that writes the
rows also commits the number, so the second try finds it and writes nothing.
"""

import sys

import psycopg
from psycopg import sql
from pyspark.sql import SparkSession

import pinhost
import pinhost.spark

rule_path, posts, checkpoint, url = sys.argv[1:]
rule = pinhost.Rule(rule_path)
columns = rule.schema_out.names

spark = SparkSession.builder.appName("posts to Postgres").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")

with psycopg.connect(url) as postgres:
    postgres.execute("CREATE TABLE IF NOT EXISTS pin_batch (number bigint PRIMARY KEY)")
    postgres.execute("CREATE TABLE IF NOT EXISTS pin_reject (step text, reason text, detail text, record bytea)")


def write(batch, number):
    """Write the number, the rows and the rejects in one transaction."""
    with psycopg.connect(url) as postgres:
        known = postgres.execute("INSERT INTO pin_batch VALUES (%s) ON CONFLICT DO NOTHING", [number])
        if known.rowcount == 0:
            return
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        bad = []
        with postgres.cursor().copy(sql.SQL("COPY pin ({}) FROM STDIN").format(names)) as rows:
            for row in batch.toLocalIterator():
                if row[pinhost.spark.REJECTS] is None:
                    rows.write_row([row[name] for name in columns])
                else:
                    bad.append(row[pinhost.spark.REJECTS])
        with postgres.cursor().copy("COPY pin_reject (step, reason, detail, record) FROM STDIN") as rejects:
            for reject in bad:
                rejects.write_row([reject.step, reject.reason, reject.detail, bytes(reject.record)])


stream = spark.readStream.option("maxFilesPerTrigger", 1).text(posts)
query = (
    pinhost.spark.clean_json(stream, rule)
    .writeStream.foreachBatch(write)
    .option("checkpointLocation", checkpoint)
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
spark.stop()
