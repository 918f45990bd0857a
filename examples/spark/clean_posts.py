"""Posts from JSON to Parquet: one line does the work of a notebook's cleaning cells.

    spark-submit clean_posts.py RULE POSTS OUT
"""

import sys

from pyspark.sql import SparkSession

import pinhost
import pinhost.spark

rule_path, posts, out = sys.argv[1:]
spark = SparkSession.builder.appName("clean posts").getOrCreate()
rule = pinhost.Rule(rule_path)

cleaned = pinhost.spark.clean_json(spark.read.text(posts), rule, generation=True).cache()
rows, rejects = pinhost.spark.split(cleaned)
rows.write.mode("overwrite").parquet(f"{out}/rows")
rejects.write.mode("overwrite").parquet(f"{out}/rejects")
print(rows.count(), "rows,", rejects.count(), "rejects, cleaned by", rule.digest[:12])
spark.stop()
