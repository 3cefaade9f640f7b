//! What an answer has to look like: text, JSON, or the call of a function that a model would choose.

use serde_json::{Value, json};

use super::ask::{Shape, text_of};
use super::gauge::items;

/// Functions that may be called, and what decides whether one is.
pub(super) struct Choice<'a> {
    pub functions: &'a [&'a Value],
    /// `tool_choice`.
    pub asked: Option<&'a Value>,
    /// The messages of a chat or before a message, or the input of a response.
    pub said: &'a Value,
}

impl Choice<'_> {
    /// Returns the shape of the answer; text that is no call fits `format`, and the `schema` in it.
    pub(super) fn shape(&self, format: &Value, schema: Option<&Value>) -> Shape {
        let named = self.named();
        let called = match named {
            Some(name) => self.functions.iter().find(|function| name_of(function) == Some(name)),
            None => self.called(),
        };
        if let Some(function) = called {
            let name = name_of(function).unwrap_or_default().to_owned();
            let schema = function.get("parameters").or_else(|| function.get("input_schema"));
            let schema = schema.cloned().unwrap_or_default();
            return Shape::Call { name, schema, named: named.is_some() };
        }
        if matches!(text_of(format, "type"), Some("json_object" | "json_schema")) {
            return Shape::Json(schema.cloned().unwrap_or_else(
                || json!({"type": "object", "properties": {"answer": {"type": "string"}}}),
            ));
        }
        Shape::Text
    }

    fn named(&self) -> Option<&str> {
        let named = self.asked.filter(|asked| asked.is_object())?;
        name_of(named.get("function").unwrap_or(named))
    }

    /// A model that has to call something calls what it has not called before; one that may calls
    /// what it is told to.
    fn called(&self) -> Option<&&Value> {
        match self.asked.and_then(Value::as_str) {
            Some("none") => None,
            Some("required") => {
                let fresh = self.functions.iter().find(|function| !self.was_called(function));
                fresh.or(self.functions.first())
            }
            _ => self.functions.iter().find(|function| self.is_told_to_call(function)),
        }
    }

    fn was_called(&self, function: &Value) -> bool {
        let name = name_of(function);
        let is_call = |item: &Value| {
            matches!(text_of(item, "type"), Some("function_call" | "tool_use"))
                && name_of(item) == name
        };
        items(Some(self.said)).iter().any(|item| {
            let calls = items(item.get("tool_calls"));
            calls.iter().any(|call| call.get("function").and_then(name_of) == name)
                || is_call(item)
                || items(item.get("content")).iter().any(is_call)
        })
    }

    /// Tells whether the user's last words name the function.
    fn is_told_to_call(&self, function: &Value) -> bool {
        let last = match self.said {
            Value::Array(said) => {
                let last = said.last().filter(|last| text_of(last, "role") == Some("user"));
                last.and_then(|last| last.get("content"))
            }
            text => Some(text),
        };
        let name = name_of(function).unwrap_or_default();
        let names = |text: Option<&str>| text.is_some_and(|text| text.contains(name));
        let parts = items(last);
        !name.is_empty()
            && (names(last.and_then(Value::as_str))
                || parts.iter().any(|part| names(text_of(part, "text"))))
    }
}

fn name_of(function: &Value) -> Option<&str> {
    text_of(function, "name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_what_was_asked_for_or_what_the_user_named() {
        let (one, two) = (json!({"name": "one"}), json!({"name": "two"}));
        let functions = [&one, &two];
        let user = |text: &str| json!([{"role": "user", "content": text}]);
        let called_one = json!([
            {"role": "user", "content": "Go."},
            {"role": "assistant", "tool_calls": [{"function": {"name": "one"}}]},
            {"role": "tool", "content": "done with one and two"},
        ]);
        let both = json!([
            {"type": "function_call", "name": "one"},
            {"type": "function_call", "name": "two"},
        ]);
        let used = json!([{"role": "assistant", "content": [{"type": "tool_use", "name": "one"}]}]);
        let parts =
            json!([{"role": "user", "content": [{"type": "input_text", "text": "use two"}]}]);
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("named",               json!({"function": {"name": "two"}}), user("Go."),       Some("two")),
            ("named, of responses", json!({"name": "two"}),               user("Go."),       Some("two")),
            ("required",            json!("required"),                    user("Go."),       Some("one")),
            ("required again",      json!("required"),                    called_one.clone(), Some("two")),
            ("required, used",      json!("required"),                    used,              Some("two")),
            ("all were called",     json!("required"),                    both,              Some("one")),
            ("none",                json!("none"),                        user("use one"),   None),
            ("may, not told",       json!("auto"),                        user("Go."),       None),
            ("may, told",           json!("auto"),                        user("use two"),   Some("two")),
            ("may, told in a part", Value::Null,                          parts,             Some("two")),
            ("may, told in a text", Value::Null,                          json!("use two"),  Some("two")),
            ("after the tool",      Value::Null,                          called_one,        None),
        ];
        for (name, asked, said, expected) in cases {
            let choice = Choice { functions: &functions, asked: Some(&asked), said: &said };
            let called = match choice.shape(&Value::Null, None) {
                Shape::Call { name, .. } => Some(name),
                _ => None,
            };
            assert_eq!(called.as_deref(), expected, "{name}");
        }
    }
}
