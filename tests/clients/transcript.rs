//! Compares what two runs of an SDK heard, and tells what a transcript lacks.

use serde_json::Value;

/// Values that differ between two runs against the same provider: ids and times.
const VARYING: &[&str] = &[
    "id",
    "item_id",
    "response_id",
    "call_id",
    "request_id",
    "_request_id",
    "created",
    "created_at",
    "completed_at",
    "expires_at",
    "obfuscation",
];

/// Replaces ids and times by the fact that they are there.
pub(crate) fn settled(heard: Value) -> Value {
    match heard {
        Value::Array(items) => items.into_iter().map(settled).collect(),
        Value::Object(fields) => {
            let settle = |(name, value): (String, Value)| {
                let varies = VARYING.contains(&name.as_str()) && !value.is_null();
                let value = if varies { Value::from("(some)") } else { settled(value) };
                (name, value)
            };
            fields.into_iter().map(settle).collect()
        }
        plain => plain,
    }
}

/// Returns where `there` says something else than `here`: the path and both values.
pub(crate) fn differences(here: &[Value], there: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    compare("", &here.into(), &there.into(), &mut found);
    found
}

fn compare(path: &str, here: &Value, there: &Value, found: &mut Vec<String>) {
    // The name of a case says more than its number.
    let path = here.get("case").and_then(Value::as_str).unwrap_or(path);
    match (here, there) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{at}]"), a, b, found);
            }
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for ((name, a), b) in a.iter().zip(b.values()) {
                compare(&format!("{path}.{name}"), a, b, found);
            }
        }
        _ if here == there => {}
        _ => found.push(format!("{path}:\n  direct: {here}\n  proxy:  {there}")),
    }
}

/// Returns what the `cases` expect and `heard` does not have.
pub(crate) fn missing(heard: &[Value], cases: &[Value]) -> Vec<String> {
    let mut missing = Vec::new();
    for case in cases {
        let name = case["name"].as_str().expect("a case has a name");
        let suffix = format!(" {name}");
        let mut played = 0;
        for one in
            heard.iter().filter(|one| one["case"].as_str().is_some_and(|c| c.ends_with(&suffix)))
        {
            played += 1;
            for expected in case["expects"].as_array().expect("a case expects") {
                let expected = expected.as_str().expect("an expectation is a word");
                if !has(&one["said"], expected) {
                    missing.push(format!("{} has no {expected}: {}", one["case"], one["said"]));
                }
            }
        }
        if played < 2 {
            missing.push(format!("`{name}` was played {played} times"));
        }
    }
    missing
}

fn has(said: &Value, expected: &str) -> bool {
    match expected {
        "text" => any(said, &|name, value| {
            matches!(name, "content" | "text" | "delta")
                && value.as_str().is_some_and(|t| !t.is_empty())
        }),
        "usage" => any(said, &|name, value| name == "usage" && adds_up(value)),
        "tool call" => {
            any(said, &|name, value| name == "name" && value == "get_weather")
                && any(said, &|name, value| name == "arguments" && value != "")
        }
        "embedding" => any(said, &|name, value| {
            name == "embedding"
                && value.as_array().is_some_and(|v| v.len() > 1 && v.iter().all(Value::is_number))
        }),
        "items" => any(said, &|name, value| {
            name == "data" && value.as_array().is_some_and(|v| !v.is_empty())
        }),
        refusal => {
            let status =
                refusal.strip_prefix("error ").and_then(|status| status.parse::<u16>().ok());
            let status = status.expect("an expectation that is known");
            said["status"] == status && said["message"].as_str().is_some_and(|m| !m.is_empty())
        }
    }
}

/// Tells whether a usage has tokens, and its total is their sum.
fn adds_up(usage: &Value) -> bool {
    let number = |names: &[&str]| names.iter().find_map(|name| usage[*name].as_u64());
    let input = number(&["prompt_tokens", "input_tokens"]);
    let output = number(&["completion_tokens", "output_tokens"]).unwrap_or(0);
    input.is_some_and(|input| input > 0 && usage["total_tokens"] == input + output)
}

/// Tells whether any field in `value`, at any depth, is as wanted.
fn any(value: &Value, wanted: &impl Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any(item, wanted)),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| wanted(name, value) || any(value, wanted))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ids_and_times_may_differ() {
        let heard = |id: &str, created: u64, text: &str| {
            let usage = json!({ "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 });
            let said = json!({ "id": id, "created": created, "content": text, "usage": usage });
            vec![settled(json!({ "case": "sync chat", "said": said }))]
        };
        let here = heard("chatcmpl-1", 17, "Hello");
        assert!(differences(&here, &heard("chatcmpl-2", 18, "Hello")).is_empty());

        let found = differences(&here, &heard("chatcmpl-2", 18, "Hallo"));
        assert_eq!(found, ["sync chat.said.content:\n  direct: \"Hello\"\n  proxy:  \"Hallo\""]);
    }

    #[test]
    fn a_chunk_too_many_and_a_lost_field_are_differences() {
        let here = [json!({ "case": "stream", "said": [{ "id": "(some)", "usage": null }] })];
        let longer = [json!({ "case": "stream", "said": [{ "id": "(some)", "usage": null }, {}] })];
        let poorer = [json!({ "case": "stream", "said": [{ "id": "(some)" }] })];
        assert_eq!(differences(&here, &longer).len(), 1);
        assert_eq!(differences(&here, &poorer).len(), 1);
        assert_eq!(differences(&here, &[]).len(), 1);
    }

    #[test]
    fn an_answer_without_what_its_case_expects_is_told() {
        let cases = [json!({ "name": "chat", "expects": ["text", "usage"] })];
        let full = json!({ "content": "x", "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 } });
        let wrong_sum = json!({ "content": "x", "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 3 } });
        let played = |said: &Value| {
            [
                json!({ "case": "sync chat", "said": said }),
                json!({ "case": "async chat", "said": said }),
            ]
        };
        assert!(missing(&played(&full), &cases).is_empty());
        assert_eq!(missing(&played(&wrong_sum), &cases).len(), 2, "the total is not the sum");
        assert_eq!(missing(&played(&json!({})), &cases).len(), 4, "no text and no usage");
        assert_eq!(missing(&[], &cases), ["`chat` was played 0 times"]);
    }
}
