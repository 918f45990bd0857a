//! Configuration: JSON into an author's struct, and what is wrong with it.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::contract::Finding;
use crate::plan::{nearest, pointer};

/// The JSON Schema of a configuration.
pub(crate) fn schema<C: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>();
    schema.as_value().to_string()
}

/// Reads a configuration. serde stops at the first mistake; a key that nobody knows is put right, or
/// taken out, and reading goes on to the next mistake.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, Vec<Finding>> {
    let mut config: Value =
        serde_json::from_str(json).map_err(|error| vec![Finding::new("", error.to_string())])?;
    let mut findings = vec![];
    // Pointers to keys put right, and to what is written there.
    let mut renamed: Vec<(String, String)> = vec![];
    loop {
        let error = match serde_path_to_error::deserialize(&config) {
            Ok(config) if findings.is_empty() => return Ok(config),
            Ok(_) => return Err(findings),
            Err(error) => error,
        };
        let path: Vec<String> = error.path().iter().filter_map(part).collect();
        let at = pointer(path.iter().map(String::as_str));
        let written = renamed.iter().find(|(new, _)| *new == at).map(|(_, old)| old);
        let message = error.inner().to_string();
        let finding = Finding::new(written.unwrap_or(&at), &message);
        let unknown = message.starts_with("unknown field").then_some(());
        let Some((key, object)) = unknown.and_then(|()| {
            let (key, path) = path.split_last()?;
            Some((key, object_at(&mut config, path)?))
        }) else {
            findings.push(finding);
            return Err(findings);
        };
        // "unknown field `colum`, expected `column` or `prefix`"
        let known = message.split('`').skip(3).step_by(2);
        let value = object.remove(key).unwrap_or_default();
        findings.push(match nearest(key, known) {
            Some(meant) => {
                object.entry(meant).or_insert(value);
                let parts = path[..path.len() - 1].iter().map(String::as_str);
                renamed.push((pointer(parts.chain([meant])), at));
                finding.help(format!("did you mean `{meant}`?"))
            }
            None => finding,
        });
    }
}

fn part(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        // A variant is written as a key, or is the value itself.
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

fn object_at<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Map<String, Value>> {
    value.pointer_mut(&pointer(path.iter().map(String::as_str)))?.as_object_mut()
}
