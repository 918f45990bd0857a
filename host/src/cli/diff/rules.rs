//! Where two rules differ, as far as that decides what becomes of a record.

use serde_json::{Map, Value, json};

use super::report::RuleChange;
use crate::pipeline::{Pipeline, Rule};

pub(super) fn changes(old: &Pipeline, new: &Pipeline) -> Vec<RuleChange> {
    let mut changes = Vec::new();
    differing(&mut Vec::new(), &resolved(old), &resolved(new), &mut changes);
    if let (Some(old), Some(new)) = (&old.rule, &new.rule) {
        let (old, new) = (common(old, new), common(new, old));
        if old != new {
            changes.push(RuleChange {
                what: "order of steps".to_owned(),
                old: json!(old),
                new: json!(new),
            });
        }
    }
    changes
}

/// The steps that the other one has too, in order.
fn common<'a>(rule: &'a Rule, other: &Rule) -> Vec<&'a str> {
    let is_common = |id: &&str| other.steps.iter().any(|step| *step.id == **id);
    rule.steps.iter().map(|step| &*step.id).filter(is_common).collect()
}

/// What the generation's digest is of, with lists of what has names as maps.
fn resolved(pipeline: &Pipeline) -> Value {
    let generation = pipeline.generation();
    let mut resolved: Value =
        serde_json::from_str(&generation.resolved).expect("it is written by us");
    let Some(rule) = &pipeline.rule else { return resolved };
    let told = &mut resolved["rule"];
    // They decide a detail at most.
    told["strays"].take();
    let fields = told["fields"].take();
    let fields = named(&fields, |field| field["name"].as_str());
    let steps = told["steps"].take();
    let mut by_id = named(&steps, |step| step["id"].as_str());
    for step in &rule.steps {
        let plugin = step.step.plugin();
        let digest = plugin.file().digest().short();
        by_id[&*step.id]["plugin"] =
            json!(format!("{} {} ({digest})", plugin.name(), plugin.version()));
    }
    let output = told["output"].take();
    let output = output.as_array().into_iter().flatten();
    let output =
        output.filter_map(|column| Some((column[0].as_str()?.to_owned(), column[1].clone())));
    told["output column"] = Value::Object(output.collect());
    told["field"] = Value::Object(fields);
    told["step"] = Value::Object(by_id);
    resolved
}

fn named(items: &Value, name: impl Fn(&Value) -> Option<&str>) -> Map<String, Value> {
    let items = items.as_array().into_iter().flatten();
    items.filter_map(|item| Some((name(item)?.to_owned(), item.clone()))).collect()
}

fn differing(path: &mut Vec<String>, old: &Value, new: &Value, changes: &mut Vec<RuleChange>) {
    if old == new {
        return;
    }
    let (Value::Object(was), Value::Object(is)) = (old, new) else {
        changes.push(RuleChange { what: what(path), old: old.clone(), new: new.clone() });
        return;
    };
    let added = is.keys().filter(|key| !was.contains_key(*key));
    for key in was.keys().chain(added) {
        path.push(key.clone());
        let (old, new) = (was.get(key), is.get(key));
        differing(path, old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null), changes);
        path.pop();
    }
}

/// `step tags: with.as`
fn what(path: &[String]) -> String {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["rule", kind @ ("field" | "step"), name] => format!("{kind} {name}"),
        ["rule", kind @ ("field" | "step"), name, ref rest @ ..] => {
            format!("{kind} {name}: {}", rest.join("."))
        }
        ["rule", ref rest @ ..] => rest.join(" "),
        ref path => path.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_is_named_by_step_and_field() {
        let old = json!({
            "limits": {"depth": 64},
            "rule": {
                "step": {"tags": {"plugin": "tags 1", "with": {"as": "list"}}, "old": {"plugin": "x"}},
                "field": {"n": {"type": "integer", "required": true}},
                "output column": {"n": "n"},
            },
        });
        let new = json!({
            "limits": {"depth": 32},
            "rule": {
                "step": {"tags": {"plugin": "tags 1", "with": {"as": "text", "repair": true}}},
                "field": {"n": {"type": "integer", "required": false}, "m": {"type": "text"}},
                "output column": {"n": "m"},
            },
        });
        let mut changes = Vec::new();
        differing(&mut Vec::new(), &old, &new, &mut changes);
        let told: Vec<_> = changes
            .iter()
            .map(|RuleChange { what, old, new }| format!("{what}: {old} → {new}"))
            .collect();
        assert_eq!(
            told,
            [
                "limits.depth: 64 → 32",
                "field n: required: true → false",
                "field m: null → {\"type\":\"text\"}",
                "output column n: \"n\" → \"m\"",
                "step old: {\"plugin\":\"x\"} → null",
                "step tags: with.as: \"list\" → \"text\"",
                "step tags: with.repair: null → true",
            ]
        );
        changes.clear();
        differing(&mut Vec::new(), &old, &old, &mut changes);
        assert_eq!(changes, []);
    }
}
