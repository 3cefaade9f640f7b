//! Compares what two runs of a client heard, and tells what a transcript lacks.

use serde_json::Value;

use crate::headers;

/// Values that differ between two runs against the same provider: ids, times, and where it is.
const VARYING: &[&str] = &[
    "id",
    "item_id",
    "response_id",
    "call_id",
    "request_id",
    "_request_id",
    "input_file_id",
    "output_file_id",
    "error_file_id",
    "created",
    "created_at",
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "expires_at",
    "obfuscation",
    "conversation_id",
    "provider_response_id",
    "run_id",
    "timestamp",
    "tool_call_id",
    "toolCallId",
    "itemId",
    "responseId",
    "provider_url",
    "signature",
];

/// Replaces ids and times by the fact that they are there.
pub(crate) fn settled(heard: Value) -> Value {
    match heard {
        Value::Array(items) => items.into_iter().map(settled).collect(),
        Value::Object(fields) => {
            let settle = |(name, value): (String, Value)| {
                let varies = VARYING.contains(&name.as_str()) && !value.is_null();
                let value = match value {
                    Value::Object(fields) if name == "headers" => headers::settled(fields),
                    _ if varies => Value::from("(some)"),
                    value => settled(value),
                };
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

/// Returns what the answers in `heard` were expected to have and do not.
pub(crate) fn missing(heard: &[Value]) -> Vec<String> {
    let mut missing = Vec::new();
    for one in heard {
        for expected in one["expects"].as_array().expect("a case expects") {
            let expected = expected.as_str().expect("an expectation is a word");
            if !has(&one["said"], expected) {
                missing.push(format!("{} has no {expected}: {}", one["case"], one["said"]));
            }
        }
    }
    if heard.is_empty() {
        missing.push("nothing was played".to_owned());
    }
    missing
}

/// Returns the names of the `cases` that were not played one after the other, with headers and at
/// once.
pub(crate) fn unplayed<'a>(heard: &[Value], cases: &'a [Value]) -> Vec<&'a str> {
    let names = cases.iter().map(|case| case["name"].as_str().expect("a case has a name"));
    let times = |name: &str| {
        let played = heard.iter().filter_map(|one| one["case"].as_str()?.split_once(' '));
        played.filter(|(_, played)| *played == name).count()
    };
    names.filter(|name| times(name) != 3).collect()
}

fn has(said: &Value, expected: &str) -> bool {
    match expected {
        "text" => any(said, &|name, value| {
            matches!(name, "content" | "text" | "delta")
                && value.as_str().is_some_and(|t| !t.is_empty())
        }),
        "usage" => any(said, &|name, value| is_usage(name) && adds_up(value)),
        "tool call" => {
            any(said, &|name, value| is_name_of_tool(name) && value == "get_weather")
                && any(said, &|name, value| are_arguments(name) && value.to_string().len() > 2)
        }
        "parcel" => {
            any(said, &|name, value| name == "city" && value.is_string())
                && any(said, &|name, value| name == "days_late" && value.is_number())
                && any(said, &|name, value| name == "damaged" && value.is_boolean())
        }
        "embedding" => any(said, &|name, value| {
            name == "embedding"
                && value.as_array().is_some_and(|v| v.len() > 1 && v.iter().all(Value::is_number))
        }),
        "items" => any(said, &|name, value| {
            name == "data" && value.as_array().is_some_and(|v| !v.is_empty())
        }),
        "judgement" => any(said, &|name, value| name == "flagged" && value.is_boolean()),
        "thought" => any(said, &|name, value| {
            name == "thinking" && value.as_str().is_some_and(|thought| !thought.is_empty())
        }),
        "cached" => {
            any(said, &|name, value| name == "cache_read_input_tokens" && value.as_u64() > Some(0))
        }
        "count" => said["input_tokens"].as_u64() > Some(0),
        "failure" => said["code"] == 1 && said["words"].as_str().is_some_and(|w| !w.is_empty()),
        "bytes" => any(said, &|name, value| name == "bytes" && value.as_u64() > Some(0)),
        "image" => any(said, &|name, value| {
            name == "b64_json" && value.as_str().is_some_and(|image| image.len() > 100)
        }),
        refusal => {
            let status =
                refusal.strip_prefix("error ").and_then(|status| status.parse::<u16>().ok());
            let status = status.expect("an expectation that is known");
            said["status"] == status && said["message"].as_str().is_some_and(|m| !m.is_empty())
        }
    }
}

// What libraries call what OpenAI calls `usage`, `name` and `arguments`.

fn is_usage(name: &str) -> bool {
    matches!(name, "usage" | "usage_metadata" | "totalUsage")
}

fn is_name_of_tool(name: &str) -> bool {
    matches!(name, "name" | "tool_name" | "toolName")
}

fn are_arguments(name: &str) -> bool {
    matches!(name, "arguments" | "args" | "input" | "partial_json")
}

/// Tells whether a usage has tokens, and its total is their sum.
fn adds_up(usage: &Value) -> bool {
    let number = |names: &[&str]| names.iter().find_map(|name| usage[*name].as_u64());
    let input = number(&["prompt_tokens", "input_tokens"]);
    let output = number(&["completion_tokens", "output_tokens"]).unwrap_or(0);
    // Anthropic tells no total.
    let total = usage["total_tokens"].as_u64().unwrap_or(input.unwrap_or(0) + output);
    input.is_some_and(|input| input > 0 && total == input + output)
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
        let played = |said: Value| {
            missing(&[json!({ "case": "sync chat", "expects": ["text", "usage"], "said": said })])
        };
        let answer = |total: u64| {
            let usage =
                json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": total });
            json!({ "content": "x", "usage": usage })
        };
        assert!(played(answer(2)).is_empty());
        assert_eq!(played(answer(3)).len(), 1, "the total is not the sum");
        assert_eq!(played(json!({})).len(), 2, "no text and no usage");
        assert_eq!(missing(&[]), ["nothing was played"]);
    }

    #[test]
    fn a_case_that_was_not_played_in_three_ways_is_told() {
        let cases = [json!({ "name": "chat" }), json!({ "name": "chat stream" })];
        let heard = ["sync chat", "raw chat", "async chat", "sync chat stream"];
        let heard = heard.map(|case| json!({ "case": case }));
        assert_eq!(unplayed(&heard, &cases), ["chat stream"]);
    }
}
