//! The text that Prometheus reads, in its own form and in OpenMetrics', which differ in little.

use std::fmt::{self, Write as _};

use super::histogram::Histogram;

/// How the text is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// By what a scraper accepts: the newer form if it is named at all, as all do who know it.
    pub(super) fn accepted_by(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Series of one name and meaning. A name is in the text once, whatever there is of it.
pub(super) struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

#[derive(Debug)]
pub(super) struct Exposition {
    form: Form,
    text: String,
}

impl Exposition {
    pub(super) fn new(form: Form) -> Self {
        Self { form, text: String::new() }
    }

    /// Begins a family: what follows belongs to it.
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        let kind_name = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // A counter's family is called without the ending of its series.
        let name = match self.form {
            Form::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Form::Prometheus => name,
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind_name}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.text.push_str(name);
        self.labels(labels, None);
        let _ = writeln!(self.text, " {value}");
    }

    pub(super) fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        for (bound, count) in histogram.cumulated() {
            let _ = write!(self.text, "{name}_bucket");
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.labels(labels, Some(("le", &bound)));
            let _ = writeln!(self.text, " {count}");
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum());
        self.sample(&format!("{name}_count"), labels, histogram.count() as f64);
    }

    fn labels(&mut self, labels: Labels<'_>, last: Option<(&str, &str)>) {
        let mut open = '{';
        for (name, value) in labels.iter().copied().chain(last) {
            let _ = write!(self.text, "{open}{name}=\"{}\"", Escaped(value));
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
    }

    pub(super) fn end(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: Family =
        Family { name: "records_total", kind: Kind::Counter, help: "Records read." };

    fn told(form: Form) -> String {
        let mut text = Exposition::new(form);
        text.family(&RECORDS);
        text.sample(RECORDS.name, &[("why", "a \"b\"\nc\\")], 3.0);
        text.sample(RECORDS.name, &[], 0.5);
        text.end()
    }

    #[test]
    fn both_forms_are_told() {
        let prometheus = "# HELP records_total Records read.\n# TYPE records_total counter\n\
                          records_total{why=\"a \\\"b\\\"\\nc\\\\\"} 3\nrecords_total 0.5\n";
        assert_eq!(told(Form::Prometheus), prometheus);
        let open = prometheus.replace("HELP records_total", "HELP records");
        let open = open.replace("TYPE records_total", "TYPE records") + "# EOF\n";
        assert_eq!(told(Form::OpenMetrics), open);
    }

    #[test]
    fn the_newer_form_is_given_to_whoever_names_it() {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Form::accepted_by(Some(accept)), Form::OpenMetrics);
        assert_eq!(Form::accepted_by(Some("*/*")), Form::Prometheus);
        assert_eq!(Form::accepted_by(None), Form::Prometheus);
    }
}
