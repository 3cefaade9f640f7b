//! Headers of answers: what the README says that the proxy adds, and what differs anyway.

use serde_json::{Map, Value};

/// Takes out what the proxy adds by the README, and replaces times, ids and levels by the fact that
/// they are there. What else the proxy added, took away or changed remains a difference.
pub(crate) fn settled(headers: Map<String, Value>) -> Value {
    let added = added_by_the_proxy();
    let kept = headers.into_iter().filter(|(name, _)| !added.contains(name));
    Value::Object(kept.map(|(name, value)| (name.clone(), settled_one(&name, value))).collect())
}

/// Takes out of what came through the proxy the quotas that the provider itself did not tell: the
/// proxy tells what it knows with every answer.
pub(crate) fn without_more_quotas(direct: &[Value], mut proxied: Vec<Value>) -> Vec<Value> {
    for (direct, proxied) in direct.iter().zip(&mut proxied) {
        if let Some(headers) = proxied.get_mut("headers").and_then(Value::as_object_mut) {
            let told = |name: &str| direct["headers"].get(name).is_some();
            headers.retain(|name, _| !name.starts_with("x-ratelimit-") || told(name));
        }
    }
    proxied
}

fn settled_one(name: &str, value: Value) -> Value {
    // By the README these are the proxy's own, told as OpenAI does whatever the provider's unit is;
    // others are the provider's, whose levels move.
    let is_quota = name.starts_with("x-ratelimit-")
        || (name.contains("ratelimit-") && !name.ends_with("-limit"));
    if is_quota || VARYING.contains(&name) { Value::from("(some)") } else { value }
}

/// Headers that differ between two runs against the same provider.
const VARYING: &[&str] =
    &["date", "x-request-id", "request-id", "apim-request-id", "openai-processing-ms"];

/// Returns the names in the README's table of headers of answers.
fn added_by_the_proxy() -> Vec<String> {
    let table = README.split("| header of an answer |").nth(1).expect("the README has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let names = rows.flat_map(|row| {
        // One stands whole, those behind it without what they have in common.
        let names = row.split('|').nth(1).expect("a row has columns").split('`');
        names.skip(1).step_by(2).map(|name| match name.strip_prefix('-') {
            Some(rest) => format!("x-sluicegate-{rest}"),
            None => name.to_owned(),
        })
    });
    names.filter(|name| name.starts_with("x-sluicegate-")).collect()
}

const README: &str = include_str!("../../README.md");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_readme_names_may_be_added() {
        let heard = json!({
            "date": "Sun, 22 Nov 2026 13:50:00 GMT",
            "x-ratelimit-remaining-tokens": "12",
            "anthropic-ratelimit-tokens-limit": "90000",
            "anthropic-ratelimit-tokens-remaining": "12000",
            "x-sluicegate-account": "team-a",
            "x-sluicegate-cost-usd": "0.1",
            "x-sluicegate-secret": "1",
        });
        let Value::Object(headers) = heard else { panic!("an object") };
        let expected = json!({
            "date": "(some)",
            "x-ratelimit-remaining-tokens": "(some)",
            "anthropic-ratelimit-tokens-limit": "90000",
            "anthropic-ratelimit-tokens-remaining": "(some)",
            "x-sluicegate-secret": "1",
        });
        assert_eq!(settled(headers), expected);
    }

    #[test]
    fn quotas_may_be_told_where_the_provider_tells_none() {
        let heard = |headers: Value| vec![json!({ "case": "raw chat", "headers": headers })];
        let direct = heard(json!({ "x-ratelimit-limit-tokens": "9" }));
        let proxied = json!({ "x-ratelimit-limit-tokens": "8", "x-ratelimit-limit-requests": "1" });
        let expected = heard(json!({ "x-ratelimit-limit-tokens": "8" }));
        assert_eq!(without_more_quotas(&direct, heard(proxied)), expected);
    }
}
