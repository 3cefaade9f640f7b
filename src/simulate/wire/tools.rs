//! Function definitions as the model sees them, and arguments that fit their schemas.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::gauge::items;

/// Renders function definitions as a TypeScript namespace.
pub(in crate::simulate) fn render(functions: &[&Value]) -> String {
    let mut text = String::from("namespace functions {\n\n");
    for function in functions {
        if let Some(description) = filled(function, "description") {
            push(&mut text, format_args!("// {description}\n"));
        }
        let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
        let parameters = function.get("parameters").unwrap_or(&Value::Null);
        if has_properties(parameters) {
            let fields = render_fields(parameters, 0);
            push(&mut text, format_args!("type {name} = (_: {{\n{fields}\n}}) => any;\n\n"));
        } else {
            push(&mut text, format_args!("type {name} = () => any;\n\n"));
        }
    }
    text.push_str("} // namespace functions");
    text
}

/// Returns a value that fits `schema`, with words drawn by `seed`.
pub(in crate::simulate) fn example(schema: &Value, seed: u64) -> Value {
    Example { root: schema, seed, left: MOST_VALUES }.of(schema, 0)
}

/// An example of a schema in the making.
struct Example<'a> {
    /// What references start from.
    root: &'a Value,
    seed: u64,
    /// How many more values it may have: what refers to itself twice would never end.
    left: u32,
}

impl Example<'_> {
    fn of(&mut self, schema: &Value, depth: u32) -> Value {
        if depth > DEEPEST || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
            let meant = path.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return meant.map_or(Value::Null, |meant| self.of(meant, depth + 1));
        }
        if let Some(first) = items(schema.get("enum")).first() {
            return first.clone();
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        let one_of = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema.get(name));
        if let Some(first) = items(one_of).first() {
            return self.of(first, depth + 1);
        }
        let kind = schema.get("type");
        let kind = kind.and_then(Value::as_str).or_else(|| items(kind).first()?.as_str());
        let number = bound_of(schema).unwrap_or(self.seed % 100);
        match kind {
            Some("string") => Value::from(format!("value {}", self.seed % 1000)),
            Some("integer" | "number") => Value::from(number),
            Some("boolean") => Value::from(self.seed.is_multiple_of(2)),
            Some("array") => {
                let one = schema.get("items").map(|items| self.of(items, depth + 1));
                Value::Array(one.into_iter().collect())
            }
            Some("null") => Value::Null,
            _ => {
                let fields = schema.get("properties").and_then(Value::as_object);
                let fields = fields.into_iter().flatten();
                let fields = fields.map(|(key, schema)| (key.clone(), self.of(schema, depth + 1)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

/// The deepest nesting of an example; schemas may refer to themselves.
const DEEPEST: u32 = 16;
/// The most values of an example.
const MOST_VALUES: u32 = 1_000;

fn bound_of(schema: &Value) -> Option<u64> {
    schema.get("minimum").and_then(Value::as_f64).map(|least| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates; any value at or above the minimum will do"
        )]
        let least = least.ceil() as u64;
        least
    })
}

fn render_fields(parameters: &Value, indent: usize) -> String {
    let mut lines = Vec::new();
    let required = items(parameters.get("required"));
    let fields = parameters.get("properties").and_then(Value::as_object);
    for (key, field) in fields.into_iter().flatten() {
        if let Some(description) = filled(field, "description") {
            lines.push(format!("{:indent$}// {description}", ""));
        }
        let optional = if required.iter().any(|name| name == key) { "" } else { "?" };
        let kind = render_type(field, indent);
        lines.push(format!("{:indent$}{key}{optional}: {kind},", ""));
    }
    lines.join("\n")
}

fn render_type(field: &Value, indent: usize) -> String {
    let choices = || {
        let quoted = |item: &Value| match item {
            Value::String(text) => format!("\"{text}\""),
            other => format!("\"{other}\""),
        };
        let choices = field.get("enum").and_then(Value::as_array)?;
        Some(choices.iter().map(quoted).collect::<Vec<_>>().join(" | "))
    };
    match field.get("type").and_then(Value::as_str) {
        Some("string") => choices().unwrap_or_else(|| "string".to_owned()),
        Some("integer" | "number") => choices().unwrap_or_else(|| "number".to_owned()),
        Some("array") => {
            let item = field.get("items").unwrap_or(&Value::Null);
            format!("{}[]", render_type(item, indent))
        }
        Some("object") => format!("{{\n{}\n}}", render_fields(field, indent + 2)),
        Some("boolean") => "boolean".to_owned(),
        Some("null") => "null".to_owned(),
        _ => "any".to_owned(),
    }
}

fn has_properties(parameters: &Value) -> bool {
    parameters.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty())
}

fn filled<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a `String` cannot fail.
    let _: std::fmt::Result = text.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_example_follows_references_and_ends_where_they_turn_in_circles() {
        let schema = json!({
            "properties": {
                "kind": {"$ref": "#/$defs/Kind"},
                "nodes": {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/Node"}]}},
                "lost": {"$ref": "#/$defs/Nowhere"},
            },
            "$defs": {
                "Kind": {"enum": ["leaf"], "type": "string"},
                "Node": {"properties": {"next": {"$ref": "#/$defs/Node"}, "other": {"$ref": "#/$defs/Node"}}},
            },
        });
        let example = example(&schema, 7);
        assert_eq!((&example["kind"], &example["lost"]), (&json!("leaf"), &Value::Null));
        assert!(example.pointer("/nodes/0/next/next").is_some_and(Value::is_object), "{example}");
        assert!(example.to_string().len() < 50_000);
    }
}
