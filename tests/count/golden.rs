//! What the provider reported, as published.

use serde_json::{Value, json};
use sluicegate::call::Endpoint;
use sluicegate::count::Method;

use crate::count;

/// The six messages of OpenAI's cookbook, "How to count tokens with tiktoken"
/// (<https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>, read 2026-11-21).
fn six_messages() -> Value {
    let plain = "You are a helpful, pattern-following assistant that translates corporate jargon \
                 into plain English.";
    let leverage = "Let's circle back when we have more bandwidth to touch base on opportunities \
                    for increased leverage.";
    let ocean = "This late pivot means we don't have time to boil the ocean for the client \
                 deliverable.";
    json!([
        {"role": "system", "content": plain},
        {"role": "system", "name": "example_user",
         "content": "New synergies will help drive top-line growth."},
        {"role": "system", "name": "example_assistant",
         "content": "Things working well together will increase revenue."},
        {"role": "system", "name": "example_user", "content": leverage},
        {"role": "system", "name": "example_assistant",
         "content": "Let's talk later when we're less busy about how to do better."},
        {"role": "user", "content": ocean},
    ])
}

/// The weather tool of the same page.
fn weather_tool() -> Value {
    json!([{
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {
                        "type": "string",
                        "description": "The city and state, e.g. San Francisco, CA",
                    },
                    "unit": {
                        "type": "string",
                        "description": "The unit of temperature to return",
                        "enum": ["celsius", "fahrenheit"],
                    },
                },
                "required": ["location"],
            },
        },
    }])
}

fn weather_question() -> Value {
    json!([
        {"role": "system",
         "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ])
}

#[test]
fn the_cookbooks_messages_count_as_reported() {
    for (model, tokens) in [("gpt-4-0613", 129), ("gpt-3.5-turbo", 129), ("gpt-4o", 124)] {
        let body = json!({"model": model, "messages": six_messages()});
        let demand = count(Endpoint::ChatCompletions, &body);
        assert_eq!(demand.input.count(), tokens, "{model}");
        assert_eq!(demand.method, Method::Exact, "{model}");
    }
}

#[test]
fn the_first_turbo_framed_messages_in_its_own_way() {
    let body = json!({"model": "gpt-3.5-turbo-0301", "messages": six_messages()});
    // The cookbook gives 127 for it: a token more for each of six messages, two less for each of
    // four names.
    assert_eq!(count(Endpoint::ChatCompletions, &body).input.count(), 127);
}

#[test]
fn the_cookbooks_tool_counts_as_reported() {
    for (model, tokens) in [("gpt-4", 105), ("gpt-3.5-turbo", 105), ("gpt-4o", 101)] {
        let body = json!({"model": model, "messages": weather_question(), "tools": weather_tool()});
        let demand = count(Endpoint::ChatCompletions, &body);
        assert_eq!(demand.input.count(), tokens, "{model}");
        assert_eq!(demand.method, Method::Approximate, "the formula is not published");
    }
}

#[test]
fn functions_count_as_the_tools_they_became() {
    let function = &weather_tool()[0]["function"];
    let old = json!({"model": "gpt-4o", "messages": weather_question(), "functions": [function]});
    assert_eq!(count(Endpoint::ChatCompletions, &old).input.count(), 101);
}

#[test]
fn a_choice_of_tools_costs_what_it_says() {
    let with = |choice: Value| {
        let body = json!({
            "model": "gpt-4o", "messages": weather_question(), "tools": weather_tool(),
            "tool_choice": choice,
        });
        count(Endpoint::ChatCompletions, &body).input.count()
    };
    assert_eq!(with(json!("auto")), 101);
    assert_eq!(with(json!("none")), 102);
    let named = json!({"type": "function", "function": {"name": "get_current_weather"}});
    assert_eq!(with(named), 101 + 7 + 3);
}
