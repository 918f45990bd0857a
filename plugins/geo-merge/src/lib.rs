//! Merges latitude and longitude into one list, `[latitude, longitude]`.
//!
//! A list has both parts or there is none: half a position is no position.

use pinhost_plugin::{
    Batch, ColumnType, Finding, Float, FloatList, Integer, Kind, Plan, Plugin, Read, Row, Stop,
    Tally, Write,
};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column with the latitudes in degrees: floats or integers, from -90 to 90.
    #[serde(default = "latitude")]
    latitude: String,
    /// The column with the longitudes in degrees: floats or integers, from -180 to 180.
    #[serde(default = "longitude")]
    longitude: String,
    /// The column to write: float-list.
    #[serde(default = "coordinates")]
    output: String,
    /// What becomes of a row that lacks the latitude, the longitude, or both.
    #[serde(default)]
    missing: Option<Otherwise>,
    /// What becomes of a row with a part that is out of its range.
    #[serde(default)]
    out_of_range: Option<Otherwise>,
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Otherwise {
    /// It has no coordinates: null. The default.
    Null,
    /// It goes to the dead letters.
    Reject,
}

fn latitude() -> String {
    "latitude".to_owned()
}

fn longitude() -> String {
    "longitude".to_owned()
}

fn coordinates() -> String {
    "coordinates".to_owned()
}

#[derive(Debug)]
pub struct GeoMerge {
    latitude: Part,
    longitude: Part,
    coordinates: Write<FloatList>,
    missing: Fault,
    out_of_range: Fault,
    merged: Tally,
}

#[derive(Debug)]
struct Part {
    column: Column,
    name: String,
    /// The largest; the smallest is as far from 0.
    limit: f64,
}

#[derive(Debug, Clone, Copy)]
enum Column {
    Float(Read<Float>),
    Integer(Read<Integer>),
}

#[derive(Debug)]
struct Fault {
    phrase: &'static str,
    otherwise: Otherwise,
    tally: Tally,
}

impl Plugin for GeoMerge {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        if config.latitude == config.longitude {
            return Err(Finding::new(
                "/longitude",
                format!("column `{}` cannot be both latitude and longitude", config.longitude),
            ));
        }
        let missing = config.missing.unwrap_or(Otherwise::Null);
        let out_of_range = config.out_of_range.unwrap_or(Otherwise::Null);
        Ok(Self {
            latitude: Part::new("/latitude", config.latitude, 90.0, plan),
            longitude: Part::new("/longitude", config.longitude, 180.0, plan),
            coordinates: plan.write("/output", &config.output),
            merged: plan.tally("coordinates merged"),
            missing: Fault {
                phrase: "is missing",
                otherwise: missing,
                tally: plan.tally("coordinates missing"),
            },
            out_of_range: Fault {
                phrase: "is out of range",
                otherwise: out_of_range,
                tally: plan.tally("coordinates out of range"),
            },
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        match (self.latitude.column, self.longitude.column) {
            (Column::Float(latitude), Column::Float(longitude)) => {
                self.merge(batch, latitude, longitude);
            }
            (Column::Float(latitude), Column::Integer(longitude)) => {
                self.merge(batch, latitude, longitude);
            }
            (Column::Integer(latitude), Column::Float(longitude)) => {
                self.merge(batch, latitude, longitude);
            }
            (Column::Integer(latitude), Column::Integer(longitude)) => {
                self.merge(batch, latitude, longitude);
            }
        }
    }
}

impl Part {
    fn new(pointer: &str, name: String, limit: f64, plan: &mut Plan) -> Self {
        let column = match plan.kind_of(&name) {
            Some(ColumnType::Integer) => Column::Integer(plan.read(pointer, &name)),
            _ => Column::Float(plan.read(pointer, &name)),
        };
        Self { column, name, limit }
    }
}

/// Degrees, as columns hold them.
trait Degrees: Kind {
    fn float(value: Self::Value<'_>) -> f64;
}

impl Degrees for Float {
    #[inline]
    fn float(value: f64) -> f64 {
        value
    }
}

impl Degrees for Integer {
    #[inline]
    fn float(value: i64) -> f64 {
        value as f64
    }
}

impl GeoMerge {
    fn merge<A: Degrees, B: Degrees>(
        &self,
        batch: &mut Batch<'_>,
        latitude: Read<A>,
        longitude: Read<B>,
    ) {
        batch.derive((latitude, longitude), self.coordinates, |(latitude, longitude), row| {
            let parts = [latitude.map(A::float), longitude.map(B::float)];
            self.coordinates(parts, row)
        });
    }

    #[inline]
    fn coordinates(
        &self,
        parts: [Option<f64>; 2],
        row: &mut Row<'_>,
    ) -> Result<Option<[f64; 2]>, Stop> {
        let [Some(latitude), Some(longitude)] = parts else {
            let part = if parts[0].is_none() { &self.latitude } else { &self.longitude };
            return self.missing.met(part, None, row);
        };
        for (part, degrees) in [(&self.latitude, latitude), (&self.longitude, longitude)] {
            // So that no number passes that cannot be compared.
            if !(-part.limit..=part.limit).contains(&degrees) {
                return self.out_of_range.met(part, Some(degrees), row);
            }
        }
        row.tally(self.merged);
        Ok(Some([latitude, longitude]))
    }
}

impl Fault {
    #[cold]
    fn met(
        &self,
        part: &Part,
        degrees: Option<f64>,
        row: &mut Row<'_>,
    ) -> Result<Option<[f64; 2]>, Stop> {
        if self.otherwise == Otherwise::Null {
            row.tally(self.tally);
            return Ok(None);
        }
        let stop = Stop::reject(&format!("{} {}", part.name, self.phrase));
        Err(match degrees {
            Some(degrees) => stop.detail(&degrees.to_string()),
            None => stop,
        })
    }
}

pinhost_plugin::export!(GeoMerge);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{Bench, Json, clean, findings, json};
    use proptest::prelude::*;

    use super::*;

    fn merged(latitude: Option<f64>, longitude: Option<f64>) -> Json {
        let bench = Bench::new(json!({}))
            .kind("latitude", ColumnType::Float)
            .kind("longitude", ColumnType::Float);
        let got = bench.clean::<GeoMerge>(json!([{"latitude": latitude, "longitude": longitude}]));
        got.rows[0]["coordinates"].clone()
    }

    #[test]
    fn parts_are_merged_as_they_are() {
        for (latitude, longitude) in [
            (-89.9787, -173.293),
            (0.0, 0.0),
            (-0.0, -0.0),
            (90.0, 180.0),
            (-90.0, -180.0),
            (89.99999999999999, 179.93535),
        ] {
            let got = merged(Some(latitude), Some(longitude));
            // As text, which tells -0.0 from 0.0.
            assert_eq!(got.to_string(), json!([latitude, longitude]).to_string());
        }
    }

    #[test]
    fn half_a_position_is_none() {
        for (latitude, longitude) in [(None, Some(1.5)), (Some(1.5), None), (None, None)] {
            assert_eq!(merged(latitude, longitude), json!(null));
        }
    }

    #[test]
    fn what_is_out_of_range_is_none() {
        for (latitude, longitude) in [
            (90.00000000000001, 0.0),
            (-91.0, 0.0),
            (0.0, 180.00000000000003),
            (0.0, -200.0),
            (-173.293, -89.9787),
            (1e300, 1e300),
        ] {
            assert_eq!(merged(Some(latitude), Some(longitude)), json!(null));
        }
    }

    #[test]
    fn integers_are_degrees_too() {
        for (latitude, longitude, expected) in [
            (json!(12), json!(-7), json!([12.0, -7.0])),
            (json!(12.5), json!(-7), json!([12.5, -7.0])),
            (json!(12), json!(-7.5), json!([12.0, -7.5])),
            (json!(i64::MAX), json!(0), json!(null)),
        ] {
            let rows = json!([{"latitude": latitude, "longitude": longitude}]);
            let got = clean::<GeoMerge>(json!({}), rows);
            assert_eq!(got.rows[0]["coordinates"], expected);
        }
    }

    #[test]
    fn both_faults_can_be_rejected() {
        let rows = json!([
            {"lat": 1.5, "lon": 2.5},
            {"lat": null, "lon": 2.5},
            {"lat": 1.5, "lon": null},
            {"lat": 1.5, "lon": -180.5},
        ]);
        let mut config = json!({
            "latitude": "lat", "longitude": "lon", "output": "lat",
            "missing": "reject", "out_of_range": null,
        });
        let got = clean::<GeoMerge>(config.clone(), rows.clone());
        assert_eq!(
            got.rows,
            json!([{"lat": [1.5, 2.5], "lon": 2.5}, {"lat": null, "lon": -180.5}])
        );
        let rejected = json!([
            {"row": 1, "reason": "lat is missing"},
            {"row": 2, "reason": "lon is missing"},
        ]);
        assert_eq!(got.rejected, rejected);

        config["missing"] = json!(null);
        config["out_of_range"] = json!("reject");
        let got = clean::<GeoMerge>(config, rows);
        assert_eq!(
            got.rejected,
            json!([{"row": 3, "reason": "lon is out of range", "detail": "-180.5"}])
        );
        let tallies = [
            ("coordinates merged", 1),
            ("coordinates missing", 2),
            ("coordinates out of range", 0),
        ];
        assert_eq!(got.tallies, tallies.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn what_cannot_be_merged_is_found() {
        let row = json!([{"latitude": "1.5", "lon": 2.5}]);
        let found: Vec<_> = findings::<GeoMerge>(json!({}), row.clone())
            .into_iter()
            .map(|finding| (finding.pointer, finding.message))
            .collect();
        let expected = [
            ("/latitude", "column `latitude` is text; this takes float"),
            ("/longitude", "there is no column `longitude`"),
        ];
        assert_eq!(found, expected.map(|(at, message)| (at.to_owned(), message.to_owned())));
        let found = findings::<GeoMerge>(json!({"latitude": "lon", "longitude": "lon"}), row);
        assert_eq!(found[0].message, "column `lon` cannot be both latitude and longitude");
    }

    #[test]
    fn coordinates_are_those_that_others_published() {
        let read = |lines: &str| -> Vec<Json> {
            lines.lines().map(|line| line.parse().expect("JSON")).collect()
        };
        let records = read(include_str!("../../../tests/data/published/geo.ndjson"));
        let published = read(include_str!("../../../tests/data/published/geo_cleaned.ndjson"));
        let cleaned = clean::<GeoMerge>(json!({}), json!(records)).rows;
        let mine = cleaned.as_array().unwrap().iter().map(|row| (&row["ind"], &row["coordinates"]));
        let theirs = published.iter().map(|row| (&row["ind"], &row["expected"]["coordinates"]));
        assert_eq!(mine.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn there_are_both_parts_or_none(
            latitude in prop::option::of(-120.0..120.0),
            longitude in prop::option::of(-240.0..240.0),
        ) {
            let expected = match (latitude, longitude) {
                (Some(a @ -90.0..=90.0), Some(b @ -180.0..=180.0)) => json!([a, b]),
                _ => json!(null),
            };
            prop_assert_eq!(merged(latitude, longitude), expected);
        }
    }
}
