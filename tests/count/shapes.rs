//! The shapes that prompts come in.

use serde_json::{Value, json};
use sluicegate::call::Endpoint;
use sluicegate::count::{Counter, Method};

use crate::{count, count_bytes};

fn tokens(endpoint: Endpoint, body: &Value) -> u64 {
    count(endpoint, body).input.count()
}

fn chat(content: Value) -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]})
}

/// A PNG's first bytes, which are all that its size needs, as a `data:` URL.
const PNG_1024: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAYAAAB/HSuD";

#[test]
fn parts_count_as_the_text_they_hold() {
    let whole = tokens(Endpoint::ChatCompletions, &chat(json!("Hello world")));
    let parts =
        chat(json!([{"type": "text", "text": "Hello"}, {"type": "text", "text": " world"}]));
    assert_eq!(whole, 3 + 3 + 1 + 2);
    assert_eq!(tokens(Endpoint::ChatCompletions, &parts), whole);
}

#[test]
fn an_escape_counts_as_the_character_it_means() {
    let plain =
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"héllo 😀\"}]}";
    let escaped = plain.replace('é', "\\u00e9").replace('😀', "\\ud83d\\ude00");
    let counter = Counter::new();
    let plain = count_bytes(&counter, Endpoint::ChatCompletions, plain.as_bytes());
    assert_eq!(count_bytes(&counter, Endpoint::ChatCompletions, escaped.as_bytes()), plain);
    assert_eq!(plain.characters, 4 + 7);
}

#[test]
fn an_image_counts_by_the_size_in_its_first_bytes() {
    let image = |url: &str, detail: &str| {
        let image = json!({"type": "image_url", "image_url": {"url": url, "detail": detail}});
        count(Endpoint::ChatCompletions, &chat(json!([image])))
    };
    let framing = 3 + 3 + 1;
    let inside = image(PNG_1024, "high");
    assert_eq!((inside.input.count(), inside.method), (framing + 765, Method::Exact));
    assert_eq!(inside.images, 0, "it makes none");
    let away = image("https://example.com/a.png", "high");
    assert_eq!((away.input.count(), away.method), (framing + 765, Method::Assumed));
    let rough = image("https://example.com/a.png", "low");
    assert_eq!((rough.input.count(), rough.method), (framing + 85, Method::Exact));
}

#[test]
fn calls_of_tools_count_by_name_and_arguments() {
    let body = json!({"model": "gpt-4o", "messages": [
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function",
             "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]});
    let demand = count(Endpoint::ChatCompletions, &body);
    // assistant, weather and {} are a token each, as are tool and (in two) sunny.
    assert_eq!(demand.input.count(), 3 + 2 * 3 + 3 + 3);
    assert_eq!(demand.method, Method::Approximate);
}

#[test]
fn a_schema_for_the_answer_is_an_upper_bound() {
    let schema = json!({"name": "n", "schema": {"type": "object", "properties": {}}});
    let mut body = chat(json!("Hello world"));
    let plain = tokens(Endpoint::ChatCompletions, &body);
    body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    let demand = count(Endpoint::ChatCompletions, &body);
    let bound =
        Counter::new().count_text(&schema.to_string(), sluicegate::catalog::Encoding::O200k);
    assert_eq!(demand.input.count(), plain + 10 + bound.count());
    assert_eq!(demand.method, Method::Approximate);
}

#[test]
fn embeddings_take_texts_and_tokens() {
    let input = |input: Value| {
        let body = json!({"model": "text-embedding-3-small", "input": input});
        let demand = count(Endpoint::Embeddings, &body);
        assert_eq!(demand.method, Method::Exact);
        assert_eq!(demand.output_bound.map(|bound| bound.count()), Some(0));
        demand.input.count()
    };
    assert_eq!(input(json!("Hello world")), 2);
    assert_eq!(input(json!(["Hello world", "Hello"])), 3);
    assert_eq!(input(json!([1, 22, 333])), 3);
    assert_eq!(input(json!([[1, 22], [333], []])), 3);
}

#[test]
fn a_completion_is_bounded_by_what_it_asks_for_and_by_sixteen_if_it_does_not() {
    let demand = |fields: Value| {
        let mut body = json!({"model": "gpt-3.5-turbo-instruct", "prompt": "Hello world"});
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("one").clone());
        count(Endpoint::Completions, &body)
    };
    let bound = |fields: Value| demand(fields).output_bound.map(|bound| bound.count());
    assert_eq!(demand(json!({})).input.count(), 2);
    assert_eq!(bound(json!({})), Some(16));
    assert_eq!(bound(json!({"max_tokens": 5, "n": 2, "best_of": 3})), Some(15));
    assert_eq!(bound(json!({"prompt": ["a", "b"], "max_tokens": 5})), Some(10));
    assert_eq!(demand(json!({"prompt": null})).input.count(), 1);
    assert_eq!(demand(json!({"prompt": [[5, 6], [7]]})).input.count(), 3);
}

#[test]
fn a_chat_without_a_bound_has_none() {
    assert_eq!(count(Endpoint::ChatCompletions, &chat(json!("Hello"))).output_bound, None);
    let mut body = chat(json!("Hello"));
    body["max_tokens"] = json!(100);
    body["n"] = json!(3);
    let bound = count(Endpoint::ChatCompletions, &body).output_bound;
    assert_eq!(bound.map(|bound| bound.count()), Some(300));
    body["max_tokens"] = json!(u64::MAX);
    let bound = count(Endpoint::ChatCompletions, &body).output_bound;
    assert_eq!(bound.map(|bound| bound.count()), Some(u64::MAX), "it never wraps around");
}

#[test]
fn a_response_counts_like_a_chat_and_says_that_this_is_a_guess() {
    let text = json!({"model": "gpt-4o", "input": "Hello world", "instructions": "Hello"});
    let items = json!({"model": "gpt-4o", "instructions": "Hello", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello world"}]}]});
    let (text, items) = (count(Endpoint::Responses, &text), count(Endpoint::Responses, &items));
    assert_eq!(text.method, Method::Approximate);
    let chat = json!({"model": "gpt-4o", "messages": [
        {"role": "system", "content": "Hello"}, {"role": "user", "content": "Hello world"}]});
    let chat = count(Endpoint::ChatCompletions, &chat);
    assert_eq!(text.input.count(), chat.input.count(), "a text stands for a user's message");
    assert_eq!(items.input.count(), chat.input.count());
}

#[test]
fn what_lies_at_the_provider_is_assumed() {
    for field in ["previous_response_id", "conversation"] {
        let body = json!({"model": "gpt-4o", "input": "Hello", field: "id_1"});
        assert_eq!(count(Endpoint::Responses, &body).method, Method::Assumed, "{field}");
    }
    let hosted = json!({"model": "gpt-4o", "input": "Hello", "tools": [{"type": "web_search"}]});
    assert_eq!(count(Endpoint::Responses, &hosted).method, Method::Assumed);
}

#[test]
fn a_model_that_nobody_knows_is_approximate() {
    let body = json!({"model": "llama", "messages": [{"role": "user", "content": "Hello world"}]});
    let demand = count(Endpoint::ChatCompletions, &body);
    assert_eq!((demand.input.count(), demand.method), (9, Method::Approximate));
}

#[test]
fn what_has_no_known_shape_counts_as_the_text_it_is() {
    let shapes = [
        json!({"model": "gpt-4o", "messages": "Hello world, this is no list"}),
        json!({"model": "gpt-4o", "messages": [7, "Hello world, this is no message"]}),
        chat(json!({"text": "Hello world, this is no content"})),
        chat(json!([{"type": "hologram", "light": "Hello world, this is no part"}])),
    ];
    for body in shapes {
        let demand = count(Endpoint::ChatCompletions, &body);
        assert!(demand.input.count() >= 9, "{body}");
        assert_eq!(demand.method, Method::Approximate, "{body}");
    }
}

#[test]
fn tools_of_any_depth_are_counted() {
    let mut schema = json!({"type": "string"});
    for _ in 0..100 {
        schema = json!({"type": "object", "properties": {"deeper": schema}});
    }
    let mut body = chat(json!("Hello"));
    body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    assert!(tokens(Endpoint::ChatCompletions, &body) > 100);
    let bomb = format!(
        "{{\"model\":\"gpt-4o\",\"messages\":[],\"tools\":[{{\"type\":\"function\",\"function\":{}\"\"{}}}]}}",
        "{\"parameters\":".repeat(50_000),
        "}".repeat(50_000)
    );
    let demand = count_bytes(&Counter::new(), Endpoint::ChatCompletions, bomb.as_bytes());
    assert!(demand.input.count() > 1000);
}
