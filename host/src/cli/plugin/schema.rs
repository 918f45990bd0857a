//! A configuration's JSON Schema as a list of settings for people.

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// `column`, `match.prefix`
    pub(super) name: String,
    /// `text`, `list of text`, `null or "reject"`
    pub(super) kind: String,
    pub(super) required: bool,
    /// As JSON.
    pub(super) default: Option<String>,
    pub(super) description: String,
}

/// How deep objects in objects are followed; a schema may contain itself.
const DEPTH_MAX: usize = 4;

/// The settings that an object has; none if the schema does not describe an object's.
pub(super) fn settings(schema: &Value) -> Vec<Setting> {
    let mut settings = Vec::new();
    collect(schema, schema, "", 0, &mut settings);
    settings
}

fn collect(root: &Value, object: &Value, prefix: &str, depth: usize, settings: &mut Vec<Setting>) {
    let Some(properties) = object.get("properties").and_then(Value::as_object) else { return };
    let required = object.get("required").and_then(Value::as_array);
    for (name, property) in properties {
        let meant = follow(root, property);
        let text = |schema: &Value| schema.get("description")?.as_str().map(one_line);
        let default = property.get("default").or_else(|| meant.get("default"));
        settings.push(Setting {
            name: format!("{prefix}{name}"),
            kind: kind(root, property, depth),
            required: required.is_some_and(|required| required.iter().any(|r| r == name)),
            default: default.filter(|default| !default.is_null()).map(Value::to_string),
            description: text(property).or_else(|| text(meant)).unwrap_or_default(),
        });
        if depth < DEPTH_MAX {
            collect(root, meant, &format!("{prefix}{name}."), depth + 1, settings);
        }
    }
}

/// Where `$ref` leads, or a choice that is null or one thing.
fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let named = schema.get("$ref").and_then(Value::as_str);
        let named = named.and_then(|named| root.pointer(named.strip_prefix('#')?));
        let only = || {
            let mut choices = choices(schema)?.iter().filter(|choice| !is_null(choice));
            choices.next().filter(|_| choices.next().is_none())
        };
        match named.or_else(only) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn choices(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

/// What values there are, in words.
fn kind(root: &Value, schema: &Value, depth: usize) -> String {
    let schema = follow(root, schema);
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    if let Some(choices) = choices(schema).filter(|_| depth < DEPTH_MAX) {
        let choices = choices.iter().filter(|choice| !is_null(choice));
        return choices
            .map(|choice| kind(root, choice, depth + 1))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    let types = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        _ => vec!["anything"],
    };
    let words = types.into_iter().map(|name| match name {
        "string" => "text".to_owned(),
        "number" => "float".to_owned(),
        "array" => match schema.get("items").filter(|_| depth < DEPTH_MAX) {
            Some(items) => format!("list of {}", kind(root, items, depth + 1)),
            None => "list".to_owned(),
        },
        "object" => match schema.get("additionalProperties").filter(|_| depth < DEPTH_MAX) {
            Some(values @ Value::Object(_)) => format!("map to {}", kind(root, values, depth + 1)),
            _ => "object".to_owned(),
        },
        other => other.to_owned(),
    });
    words.collect::<Vec<_>>().join(" or ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_told_as_its_settings() {
        let schema = json!({
            "type": "object",
            "required": ["column"],
            "properties": {
                "column": {"type": "string", "description": "The column\nto clean."},
                "longest": {"type": "integer", "default": 1000},
                "otherwise": {"anyOf": [{"$ref": "#/$defs/Otherwise"}, {"type": "null"}]},
                "words": {"type": ["array", "null"], "items": {"type": "string"}},
                "match": {"$ref": "#/$defs/Match"},
            },
            "$defs": {
                "Otherwise": {"description": "What else.", "oneOf": [
                    {"const": "null"}, {"const": "reject"},
                ]},
                "Match": {"type": "object", "required": ["prefix"], "properties": {
                    "prefix": {"type": "string"}, "again": {"$ref": "#/$defs/Match"},
                }},
            },
        });
        let settings = settings(&schema);
        let find = |name| settings.iter().find(|setting| setting.name == name).unwrap();
        assert_eq!(
            *find("column"),
            Setting {
                name: "column".into(),
                kind: "text".into(),
                required: true,
                default: None,
                description: "The column to clean.".into(),
            }
        );
        assert_eq!(find("longest").default.as_deref(), Some("1000"));
        assert_eq!(find("otherwise").kind, r#""null" or "reject""#);
        assert_eq!(find("otherwise").description, "What else.");
        assert_eq!(find("words").kind, "list of text");
        assert!(find("match.prefix").required);
        assert!(settings.len() < 20, "a schema that contains itself comes to an end");
    }

    #[test]
    fn a_schema_that_says_nothing_has_no_settings() {
        assert_eq!(settings(&json!(true)), []);
        assert_eq!(settings(&json!({})), []);
    }
}
