"""polars_job.py IN OUT: the yardstick's job in Polars, streaming; OUT ends in .ndjson or .parquet."""

import sys

import polars as pl

source, target = sys.argv[1:]
schema = {
    "index": pl.Int64,
    "unique_id": pl.String,
    "title": pl.String,
    "description": pl.String,
    "poster_name": pl.String,
    "follower_count": pl.String,
    "tag_list": pl.String,
    "is_image_or_video": pl.String,
    "image_src": pl.String,
    "downloaded": pl.Int64,
    "save_location": pl.String,
    "category": pl.String,
}


def unless(column, *placeholders):
    return pl.when(~pl.col(column).is_in(["", *placeholders])).then(pl.col(column)).alias(column)


count = pl.col("follower_count").str.strip_chars().str.to_lowercase()
number = count.str.extract(r"^(\d+(?:\.\d+)?)\s*[kmb]?$", 1).cast(pl.Float64)
unit = (
    pl.when(count.str.ends_with("k")).then(1_000)
    .when(count.str.ends_with("m")).then(1_000_000)
    .when(count.str.ends_with("b")).then(1_000_000_000)
    .otherwise(1)
)
tags = pl.col("tag_list")
no_tags = ["", "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"]
rows = pl.scan_ndjson(source, schema=schema).select(
    pl.col("index").alias("ind"),
    "unique_id",
    unless("title", "No Title Data Available"),
    unless("description", "No description available Story format", "No description available"),
    (number * unit).round().cast(pl.Int64).alias("follower_count"),
    unless("poster_name", "User Info Error"),
    pl.when(~tags.is_in(no_tags))
    .then(tags.str.split(",").list.eval(pl.element().str.strip_chars()))
    .alias("tag_list"),
    "is_image_or_video",
    unless("image_src", "Image src error."),
    pl.col("save_location").str.strip_prefix("Local save in "),
    "category",
)
if target.endswith(".parquet"):
    rows.sink_parquet(target, compression="snappy")
else:
    rows.sink_ndjson(target)
