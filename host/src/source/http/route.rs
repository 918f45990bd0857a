//! Which path means what, and which pipeline takes it.

use glob::{MatchOptions, Pattern};
use percent_encoding::percent_decode_str;

/// How requests to a path look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Records as they are.
    Plain,
    /// As to Kafka's REST proxy.
    Topic,
    /// As to Kinesis behind an API gateway.
    Stream,
}

/// What a pipeline takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    form: Form,
    /// Of the name.
    pattern: Pattern,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub form: Form,
    /// The topic, the stream, or the path itself.
    pub name: String,
    /// The partition that the path asks for.
    pub partition: Option<i64>,
    /// Of a stream: one record, or several.
    pub is_batch: bool,
}

const TOPICS: &str = "topics";
const STREAMS: &str = "streams";

/// A `*` stands for no `/`.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Route {
    pub fn parse(written: &str) -> Option<Self> {
        let path = written.strip_prefix('/').unwrap_or(written);
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~*".contains(&byte);
        let parts: Vec<_> = path.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || !part.bytes().all(is_legal)) {
            return None;
        }
        // Only the name may be any.
        let (last, before) = parts.split_last()?;
        if before.iter().any(|part| part.contains('*')) || last.contains("**") {
            return None;
        }
        let (form, name) = match parts[..] {
            [TOPICS, name] => (Form::Topic, name),
            [STREAMS, name] => (Form::Stream, name),
            [TOPICS | STREAMS, ..] => return None,
            _ => (Form::Plain, path),
        };
        Some(Self { form, pattern: Pattern::new(name).ok()? })
    }

    /// How exactly it names the target, if it does: a name of its own, or most of it.
    pub fn matches(&self, target: &Target) -> Option<usize> {
        let is_it = self.form == target.form && self.pattern.matches_with(&target.name, OPTIONS);
        let pattern = self.pattern.as_str();
        is_it.then(|| if pattern.contains('*') { pattern.len() } else { usize::MAX })
    }

    /// As people write it.
    pub fn shown(&self) -> String {
        match self.form {
            Form::Plain => format!("POST /{}", self.pattern),
            Form::Topic => format!("POST /topics/{}", self.pattern),
            Form::Stream => format!("PUT /streams/{}/record", self.pattern),
        }
    }
}

impl Target {
    /// What stands behind the base path; none if no request can have it.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let decoded = |part| percent_decode_str(part).decode_utf8().ok().map(String::from);
        let parts = path.split('/').map(decoded).collect::<Option<Vec<_>>>()?;
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        // What was encoded so that it would not tell parts apart does not do so here.
        let is_odd = |part: &&str| part.is_empty() || part.contains(['/', '\0']);
        if parts.iter().any(is_odd) {
            return None;
        }
        let target = |form, name: &str, partition| Self {
            form,
            name: name.to_owned(),
            partition,
            is_batch: false,
        };
        Some(match parts[..] {
            [TOPICS, name] => target(Form::Topic, name, None),
            [TOPICS, name, "partitions", partition] => {
                let partition: u32 = partition.parse().ok()?;
                target(Form::Topic, name, Some(partition.into()))
            }
            [STREAMS, name, "record"] => target(Form::Stream, name, None),
            [STREAMS, name, "records"] => {
                Self { is_batch: true, ..target(Form::Stream, name, None) }
            }
            [TOPICS | STREAMS, ..] => return None,
            _ => target(Form::Plain, &parts.join("/"), None),
        })
    }

    pub fn method(&self) -> &'static str {
        match self.form {
            Form::Plain | Form::Topic => "POST",
            Form::Stream => "PUT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(route: &str, path: &str) -> Option<usize> {
        Route::parse(route).unwrap().matches(&Target::parse(path)?)
    }

    #[test]
    fn a_path_is_matched_by_its_form_and_its_name() {
        for (route, path, matches) in [
            ("/pin", "/pin/", true),
            ("pin/", "/pin", true),
            ("/pin", "/pins", false),
            ("/*", "/pin/", true),
            ("/*", "/a/b", false),
            ("/api/v1/pin", "/api/v1/pin", true),
            ("/*", "/topics/pin", false),
            ("/topics/*", "/topics/0a.pin", true),
            ("/topics/*.pin", "/topics/0a.pin/partitions/3", true),
            ("/topics/*.pin", "/topics/0a.geo", false),
            ("/streams/*", "/streams/posts/record", true),
            ("/streams/*", "/streams/posts/records/", true),
            ("/streams/*", "/streams/posts", false),
            ("/topics/*", "/topics/a/partitions/x", false),
            ("/topics/*", "/topics/a%2Fb", false),
            ("/topics/a b", "/topics/a%20b", false),
        ] {
            let matched = Route::parse(route).is_some() && matched(route, path).is_some();
            assert_eq!(matched, matches, "{route} {path}");
        }
        let target = Target::parse("/topics/a/partitions/3").unwrap();
        assert_eq!((&*target.name, target.partition), ("a", Some(3)));
    }

    #[test]
    fn the_most_exact_route_takes_a_request() {
        let path = "/topics/0a.pin";
        let exact = ["/topics/*", "/topics/*.pin", "/topics/0a.pin"].map(|it| matched(it, path));
        assert!(exact.is_sorted() && exact[0] < exact[1] && exact[1] < exact[2], "{exact:?}");
    }

    #[test]
    fn what_can_be_no_route_is_none() {
        for odd in ["", "/", "//pin", "/topics", "/topics/a/b", "/*/pin", "/a?b", "/**", "/a b"] {
            assert_eq!(Route::parse(odd), None, "{odd:?}");
        }
    }
}
