"""Writes dashboard.json: `pip install grafana-foundation-sdk && python3 dashboard.py`."""

import json
import pathlib

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
OF = '{pipeline=~"$pipeline"}'


def queries(panel, *targets):
    for expression, legend in targets:
        query = prometheus.Dataquery().expr(expression).legend_format(legend)
        panel = panel.with_target(query)
    return panel.datasource(SOURCE)


def number(title, expression, legend="{{pipeline}}", unit="short"):
    return queries(stat.Panel().title(title).unit(unit).height(4).span(6), (expression, legend))


def graph(title, unit, *targets):
    return queries(timeseries.Panel().title(title).unit(unit).height(8).span(12), *targets)


def quantiles(name):
    rates = f"sum by (pipeline, le) (rate({name}_bucket{OF}[$__rate_interval]))"
    return [
        (f"histogram_quantile({quantile}, {rates})", f"{{{{pipeline}}}} p{int(quantile * 100)}")
        for quantile in (0.5, 0.99)
    ]


def rate(name, by="pipeline"):
    return f"sum by ({by}) (rate({name}{OF}[$__rate_interval]))"


def board():
    return (
        dashboard.Dashboard("pinhost")
        .uid("pinhost")
        .tags(["pinhost"])
        .refresh("10s")
        .time("now-1h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("pipeline")
            .datasource(SOURCE)
            .query("label_values(pinhost_records_total, pipeline)")
            .multi(True)
            .include_all(True)
        )
        .with_row(dashboard.Row("Does it flow?"))
        .with_panel(number("Records a second", rate("pinhost_records_total")))
        .with_panel(number("Furthest behind", f"max by (pipeline) (pinhost_lane_lag_seconds{OF})", unit="s"))
        .with_panel(number("Halted lanes", f"sum by (pipeline) (pinhost_lane_halted{OF})"))
        .with_panel(number("Unaccounted records", f"max by (pipeline) (pinhost_records_unaccounted{OF})"))
        .with_panel(
            graph(
                "Records and rows",
                "ops",
                (rate("pinhost_records_total"), "{{pipeline}} records"),
                (rate("pinhost_rows_stored_total"), "{{pipeline}} rows"),
                (rate("pinhost_rows_superseded_total"), "{{pipeline}} superseded"),
            )
        )
        .with_panel(
            graph("Lag", "short", (f"sum by (pipeline, lane) (pinhost_lane_lag_records{OF})", "{{pipeline}} {{lane}}"))
        )
        .with_row(dashboard.Row("What becomes of records?"))
        .with_panel(
            graph("Dead letters", "ops", (rate("pinhost_dead_letters_total", "pipeline, reason"), "{{pipeline}} {{reason}}"))
        )
        .with_panel(
            graph(
                "Rejected and dropped by steps",
                "ops",
                (rate("pinhost_rows_rejected_total", "pipeline, step"), "{{pipeline}} {{step}} rejected"),
                (rate("pinhost_rows_dropped_total", "pipeline, step"), "{{pipeline}} {{step}} dropped"),
            )
        )
        .with_row(dashboard.Row("Which rule?"))
        .with_panel(graph("Generation", "short", (f"pinhost_generation_info{OF}", "{{pipeline}} {{generation}}")))
        .with_panel(graph("Swaps", "short", (f"sum by (pipeline, result) (pinhost_swaps_total{OF})", "{{pipeline}} {{result}}")))
        .with_row(dashboard.Row("Is it well?"))
        .with_panel(graph("Commits", "s", *quantiles("pinhost_commit_seconds")))
        .with_panel(graph("Record to commit", "s", *quantiles("pinhost_end_to_end_seconds")))
        .with_panel(graph("Cleaning a batch", "s", *quantiles("pinhost_batch_seconds")))
        .with_panel(
            graph("Failures", "ops", (rate("pinhost_failures_total", "pipeline, step, class"), "{{pipeline}} {{step}} {{class}}"))
        )
        .with_panel(
            graph(
                "Memory",
                "bytes",
                (f"pinhost_memory_bytes{OF}", "{{pipeline}} held"),
                (f"pinhost_memory_limit_bytes{OF}", "{{pipeline}} limit"),
                ("process_resident_memory_bytes", "{{instance}} resident"),
            )
        )
        .with_panel(
            graph(
                "Lanes that change hands",
                "ops",
                (rate("pinhost_claims_total"), "{{pipeline}} claims"),
                (rate("pinhost_fences_total"), "{{pipeline}} fences"),
                (rate("pinhost_lanes_given_away_total"), "{{pipeline}} given away"),
            )
        )
        .build()
    )


if __name__ == "__main__":
    text = json.dumps(board(), cls=JSONEncoder, indent=2, sort_keys=True)
    pathlib.Path(__file__).with_name("dashboard.json").write_text(text + "\n")
