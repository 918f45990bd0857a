//! Reads texts in several forms, such as `2020-08-28 03:52:47` and `08/28/2020, 03:52:47`, as
//! timestamps.
//!
//! A text without a zone is taken for UTC, whatever the zone of the machine. What is no instant of
//! the calendar is no timestamp: nothing is moved to the nearest day, hour or second.

mod form;

use pinhost_plugin::kernels::trim;
use pinhost_plugin::{
    Batch, Finding, Plan, Plugin, Read, Row, Stop, Tally, Text, Timestamp, Write,
};

use form::{Form, Instant};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text column with the timestamps; it becomes a timestamp column.
    column: String,
    /// The forms that are accepted, tried in this order. `%Y` stands for four digits; `%m`, `%d`,
    /// `%H`, `%M` and `%S` for two; `%.f` for a fraction of the second, if there is one; `%z` for a
    /// zone, if there is one: `Z`, `+02:00`, `+0200` or `+02`. Anything else stands for itself,
    /// letters in either case.
    #[serde(default = "usual_forms")]
    forms: Vec<String>,
    /// What becomes of a text that has none of these forms, or names no instant in the years 1 to
    /// 9999.
    #[serde(default)]
    otherwise: Option<Otherwise>,
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Otherwise {
    /// It becomes null. The default.
    Null,
    /// Its row goes to the dead letters.
    Reject,
}

fn usual_forms() -> Vec<String> {
    let forms = [
        "%Y-%m-%d %H:%M:%S%.f%z",
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y:%m:%d %H:%M:%S%.f%z",
        "%m/%d/%Y, %H:%M:%S%.f%z",
        "%Y-%m-%d",
    ];
    forms.map(str::to_owned).into()
}

#[derive(Debug)]
pub struct Timestamps {
    text: Read<Text>,
    timestamp: Write<Timestamp>,
    forms: Vec<Form>,
    otherwise: Otherwise,
    column: String,
    shifted: Tally,
    cut: Tally,
    no_timestamp: Tally,
}

impl Plugin for Timestamps {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        if config.forms.is_empty() {
            return Err(Finding::new("/forms", "there is no form to read timestamps in"));
        }
        let mut forms = vec![];
        for (at, form) in config.forms.iter().enumerate() {
            match form.parse() {
                Ok(form) => forms.push(form),
                Err(message) => plan.find(Finding::new(format!("/forms/{at}"), message)),
            }
        }
        Ok(Self {
            text: plan.read("/column", &config.column),
            timestamp: plan.write("/column", &config.column),
            forms,
            otherwise: config.otherwise.unwrap_or(Otherwise::Null),
            column: config.column,
            shifted: plan.tally("zones shifted to UTC"),
            cut: plan.tally("fractions cut"),
            no_timestamp: plan.tally("not a timestamp"),
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        batch.derive(self.text, self.timestamp, |text, row| match text.map(trim) {
            None | Some("") => Ok(None),
            Some(text) => self.timestamp(text, row),
        });
    }
}

impl Timestamps {
    #[inline]
    fn timestamp(&self, text: &str, row: &mut Row<'_>) -> Result<Option<i64>, Stop> {
        let Some(instant) = self.forms.iter().find_map(|form| form.read(text)) else {
            return self.fault(text, row);
        };
        let Instant { micros, shifted, cut } = instant;
        if shifted {
            row.tally(self.shifted);
        }
        if cut {
            row.tally(self.cut);
        }
        Ok(Some(micros))
    }

    #[cold]
    fn fault(&self, text: &str, row: &mut Row<'_>) -> Result<Option<i64>, Stop> {
        match self.otherwise {
            Otherwise::Null => {
                row.tally(self.no_timestamp);
                Ok(None)
            }
            Otherwise::Reject => {
                Err(Stop::reject(&format!("{} is not a timestamp", self.column)).detail(text))
            }
        }
    }
}

pinhost_plugin::export!(Timestamps);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{Cleaning, Json, clean, findings, json};
    use proptest::prelude::*;

    use super::Timestamps;

    fn read(config: Json, texts: &[&str]) -> Cleaning {
        let rows: Vec<Json> = texts.iter().map(|text| json!({"at": text})).collect();
        clean::<Timestamps>(config, json!(rows))
    }

    fn instant(text: &str) -> Json {
        read(json!({"column": "at"}), &[text]).rows[0]["at"].clone()
    }

    #[test]
    fn the_usual_forms_need_no_configuration() {
        for text in [
            "2020-08-28 03:52:47",
            "2020-08-28T03:52:47",
            "2020-08-28t03:52:47z",
            "2020-08-28T03:52:47.000+0000",
            "2020-08-28T03:52:47Z",
            "2020-08-28 05:52:47+02:00",
            "2020-08-27 22:22:47-05:30",
            "2020-08-28 03:52:47+00",
            "2020:08:28 03:52:47",
            "08/28/2020, 03:52:47",
            " 2020-08-28 03:52:47\n",
            "\u{a0}2020-08-28 03:52:47\u{a0}",
        ] {
            assert_eq!(instant(text), json!("2020-08-28T03:52:47Z"), "{text:?}");
        }
        assert_eq!(instant("2021-11-20"), json!("2021-11-20T00:00:00Z"));
        assert_eq!(instant("2020-08-28 03:52:47.25"), json!("2020-08-28T03:52:47.25Z"));
    }

    #[test]
    fn what_is_not_a_timestamp_is_null() {
        let texts = [
            "yesterday",
            "2020-02-30 00:00:00",
            "2021-02-29",
            "2020-13-01",
            "2020-00-10",
            "28/08/2020, 03:52:47",
            "2020-08-28 24:00:00",
            "2020-08-28 03:60:00",
            "2016-12-31T23:59:60Z",
            "2020-08-28 3:52:47",
            "2020-8-28",
            "20-08-28",
            "2020-08-28 03:52",
            "2020-08-28  03:52:47",
            "2020-08-28 03:52:47 Z",
            "2020-08-28 03:52:47.",
            "2020-08-28 03:52:47,5",
            "2020-08-28 03:52:47+2",
            "2020-08-28 03:52:47+02:60",
            "2020-08-28 03:52:47+24:00",
            "2020-08-28 03:52:47 PM",
            "2020-08-28Z",
            "+2020-08-28",
            "２０２０-08-28",
            "0000-12-31",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "1598586767",
        ];
        let got = read(json!({"column": "at"}), &texts);
        assert_eq!(got.rows, Json::from(vec![json!({"at": null}); texts.len()]));
        assert_eq!(got.tallies["not a timestamp"] as usize, texts.len());
    }

    #[test]
    fn what_is_not_a_timestamp_can_be_rejected() {
        let config = json!({"column": "at", "otherwise": "reject"});
        let got = read(config, &["2020-08-28", "soon", "", " "]);
        assert_eq!(got.rows, json!([{"at": "2020-08-28T00:00:00Z"}, {"at": null}, {"at": null}]));
        assert_eq!(
            got.rejected,
            json!([{"row": 1, "reason": "at is not a timestamp", "detail": "soon"}])
        );
    }

    #[test]
    fn what_is_lost_or_moved_is_counted() {
        let texts = [
            "2020-08-28 03:52:47.123456",
            "2020-08-28 03:52:47.123456000",
            "2020-08-28 03:52:47.1234569",
            "1969-12-31 23:59:59.9999999",
            "2020-08-28 03:52:47+02:00",
            "2020-08-28 03:52:47+00:00",
        ];
        let got = read(json!({"column": "at"}), &texts);
        assert_eq!(got.rows[2]["at"], json!("2020-08-28T03:52:47.123456Z"));
        assert_eq!(got.rows[3]["at"], json!("1969-12-31T23:59:59.999999Z"));
        let tallies = [("fractions cut", 2), ("not a timestamp", 0), ("zones shifted to UTC", 1)];
        assert_eq!(got.tallies, tallies.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn forms_can_be_others() {
        let config = json!({"column": "at", "forms": ["%d/%m/%Y %H:%M UTC", "%Y%m%d"]});
        let got = read(config, &["28/08/2020 03:52 utc", "20200828", "2020-08-28 03:52:47"]);
        let rows = json!([
            {"at": "2020-08-28T03:52:00Z"}, {"at": "2020-08-28T00:00:00Z"}, {"at": null},
        ]);
        assert_eq!(got.rows, rows);
    }

    #[test]
    fn the_first_form_that_fits_decides() {
        let forms = |forms: [&str; 2]| json!({"column": "at", "forms": forms});
        let texts = ["01/02/2020", "28/08/2020"];
        let got = read(forms(["%m/%d/%Y", "%d/%m/%Y"]), &texts);
        let rows = json!([{"at": "2020-01-02T00:00:00Z"}, {"at": "2020-08-28T00:00:00Z"}]);
        assert_eq!(got.rows, rows);
        let got = read(forms(["%d/%m/%Y", "%m/%d/%Y"]), &texts);
        assert_eq!(got.rows[0]["at"], "2020-02-01T00:00:00Z");
    }

    #[test]
    fn a_form_that_says_too_little_is_found() {
        let found = |config: Json| -> Vec<_> {
            let findings = findings::<Timestamps>(config, json!([{"at": ""}]));
            findings.into_iter().map(|finding| (finding.pointer, finding.message)).collect()
        };
        let finding = |at: &str, message: &str| (at.to_owned(), message.to_owned());
        let none = finding("/forms", "there is no form to read timestamps in");
        assert_eq!(found(json!({"column": "at", "forms": []})), [none]);
        assert_eq!(
            found(json!({"column": "At", "forms": ["%Y-%m-%d", "%H:%M"]})),
            [
                finding("/forms/1", "a form needs each of %Y, %m and %d"),
                finding("/column", "there is no column `At`"),
            ]
        );
    }

    #[test]
    fn timestamps_are_those_that_others_published() {
        let read = |lines: &str| -> Vec<Json> {
            lines.lines().map(|line| line.parse().expect("JSON")).collect()
        };
        for (column, records, published) in [
            (
                "timestamp",
                include_str!("../../../tests/data/published/geo.ndjson"),
                include_str!("../../../tests/data/published/geo_cleaned.ndjson"),
            ),
            (
                "date_joined",
                include_str!("../../../tests/data/published/user.ndjson"),
                include_str!("../../../tests/data/published/user_cleaned.ndjson"),
            ),
        ] {
            let cleaned = clean::<Timestamps>(json!({"column": column}), json!(read(records))).rows;
            // They are published as a notebook shows them.
            let shown = |row: &Json| row[column].as_str().unwrap().replace('Z', ".000+0000");
            let mine = cleaned.as_array().unwrap().iter().map(shown);
            let published = read(published);
            let theirs = published.iter().map(|row| row["expected"][column].as_str().unwrap());
            assert!(mine.eq(theirs), "{column}");
        }
    }

    proptest! {
        #[test]
        fn instants_are_what_jiff_takes_them_for(
            seconds in -62_135_596_800_i64..253_402_207_200,
            micros in 0..1_000_000_i64,
            zone in -(23 * 60 + 59)..=23 * 60 + 59_i32,
        ) {
            let instant = jiff::Timestamp::from_microsecond(seconds * 1_000_000 + micros).unwrap();
            let expected = json!(instant.to_string());
            prop_assert_eq!(&self::instant(&instant.to_string()), &expected);
            let whole = jiff::Timestamp::from_second(seconds).unwrap();
            for form in ["%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M:%S", "%m/%d/%Y, %H:%M:%S"] {
                let text = whole.strftime(form).to_string();
                prop_assert_eq!(&self::instant(&text), &json!(whole.to_string()));
            }
            let zone = jiff::tz::Offset::from_seconds(zone * 60).unwrap();
            let local = zone.to_datetime(instant);
            if local.year() > 0 {
                for form in ["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f%z"] {
                    let text = instant.to_zoned(zone.to_time_zone()).strftime(form).to_string();
                    prop_assert_eq!(&self::instant(&text), &expected);
                }
            }
        }

        #[test]
        fn dates_are_those_of_jiff(year in 0..10_100_i16, month in 0..14_i8, day in 0..34_i8) {
            let date = jiff::civil::Date::new(year, month, day).ok();
            let expected = date.filter(|date| (1..=9999).contains(&date.year()));
            let expected = json!(expected.map(|date| format!("{date}T00:00:00Z")));
            prop_assert_eq!(instant(&format!("{year:04}-{month:02}-{day:02}")), expected);
        }

        #[test]
        fn any_text_is_read_or_not(text in "[0-9TZ:/., +-]{0,30}|\\PC{0,30}") {
            instant(&text);
        }
    }
}
