//! Writes tools as the model is shown them.
//!
//! OpenAI publishes how a few flat functions count (its cookbook, "How to count tokens with
//! tiktoken", read 2026-11-21) but not how tools are shown. The TypeScript below was found by the
//! community, is used by other gateways, and gives the counts that the cookbook reports for its
//! example: 105 tokens for GPT-4 and 101 for GPT-4o.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::memory::Form;

/// Tokens around a list of tools.
pub(super) const FRAMING: u64 = 9;
/// Tokens that a system message saves, in which the tools then stand.
pub(super) const SAVED_BY_SYSTEM: u64 = 4;
/// Tokens by which the model is told to call nothing.
pub(super) const CHOICE_NONE: u64 = 1;
/// Tokens by which the model is told to call one function, its name not included.
pub(super) const CHOICE_NAMED: u64 = 7;

/// Returns what the model is shown of a list of tools, or the JSON itself where it cannot be read.
pub(super) fn render(json: &[u8], form: Form) -> String {
    let text = if form == Form::Functions {
        serde_json::from_slice::<Vec<Function<'_>>>(json).ok().map(|functions| {
            functions.iter().fold(Page::new(), |page, function| page.function(function)).end()
        })
    } else {
        serde_json::from_slice::<Vec<Tool<'_>>>(json)
            .ok()
            .map(|tools| tools.iter().fold(Page::new(), Page::tool).end())
    };
    text.unwrap_or_else(|| String::from_utf8_lossy(json).into_owned())
}

/// A tool: chat nests its function, responses do not.
struct Tool<'a> {
    json: &'a str,
    function: Option<Function<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Tool<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Nested<'a> {
            #[serde(borrow)]
            function: Option<Function<'a>>,
        }
        let json = <&RawValue>::deserialize(json)?.get();
        let nested = serde_json::from_str::<Nested<'_>>(json).ok().and_then(|tool| tool.function);
        let function = nested.or_else(|| {
            serde_json::from_str::<Function<'_>>(json).ok().filter(|flat| flat.kind == "function")
        });
        Ok(Self { json, function })
    }
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<Schema<'a>>,
}

/// As much of JSON schema as the model is shown.
#[derive(Deserialize, Default)]
struct Schema<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    properties: Option<Properties<'a>>,
    #[serde(borrow, default)]
    required: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    items: Option<Box<Self>>,
    #[serde(borrow, rename = "enum")]
    choices: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "anyOf")]
    any_of: Option<Vec<Self>>,
    #[serde(borrow, rename = "oneOf")]
    one_of: Option<Vec<Self>>,
    #[serde(borrow, rename = "allOf")]
    all_of: Option<Vec<Self>>,
    #[serde(borrow, rename = "$defs")]
    definitions: Option<&'a RawValue>,
}

/// The properties of an object, in their order.
struct Properties<'a>(Vec<Property<'a>>);

/// A property's name and what it takes.
type Property<'a> = (Cow<'a, str>, Schema<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Properties<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Properties<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut properties = Vec::new();
                while let Some(property) = map.next_entry()? {
                    properties.push(property);
                }
                Ok(Properties(properties))
            }
        }
        json.deserialize_map(InOrder)
    }
}

/// A page of TypeScript under way.
struct Page {
    text: String,
}

impl Page {
    fn new() -> Self {
        Self { text: "namespace functions {\n\n".to_owned() }
    }

    fn end(mut self) -> String {
        self.text.push_str("} // namespace functions");
        self.text
    }

    fn tool(self, tool: &Tool<'_>) -> Self {
        match &tool.function {
            Some(function) => self.function(function),
            None => self.write(format_args!("{}\n\n", tool.json)),
        }
    }

    fn function(mut self, function: &Function<'_>) -> Self {
        let Function { name, description, parameters, .. } = function;
        if let Some(description) = description.as_deref().filter(|text| !text.is_empty()) {
            self = self.write(format_args!("// {description}\n"));
        }
        let nothing = Schema::default();
        let parameters = parameters.as_ref().unwrap_or(&nothing);
        if parameters.properties().is_empty() {
            return self.write(format_args!("type {name} = () => any;\n\n"));
        }
        self = self.write(format_args!("type {name} = (_: {{\n")).properties(parameters, 0);
        if let Some(definitions) = parameters.definitions {
            self = self.write(format_args!("{definitions}\n"));
        }
        self.write(format_args!("}}) => any;\n\n"))
    }

    fn properties(mut self, object: &Schema<'_>, indent: usize) -> Self {
        let required = object.required.as_deref().unwrap_or_default();
        for (name, schema) in object.properties() {
            if let Some(description) = schema.description.as_deref().filter(|text| !text.is_empty())
            {
                self = self.write(format_args!("{:indent$}// {description}\n", ""));
            }
            let optional = if required.contains(name) { "" } else { "?" };
            self = self
                .write(format_args!("{:indent$}{name}{optional}: ", ""))
                .kind(schema, indent)
                .write(format_args!(",\n"));
        }
        self
    }

    fn kind(self, schema: &Schema<'_>, indent: usize) -> Self {
        if let Some(choices) = schema.choices.as_deref() {
            return self.joined(choices, |page, choice| page.write(format_args!("{choice}")));
        }
        let union = schema.any_of.as_deref().or(schema.one_of.as_deref());
        if let Some(union) = union.or(schema.all_of.as_deref()) {
            return self.joined(union, |page, one| page.kind(one, indent));
        }
        match schema.kind.map(RawValue::get).unwrap_or_default() {
            "\"string\"" => self.write(format_args!("string")),
            "\"integer\"" | "\"number\"" => self.write(format_args!("number")),
            "\"boolean\"" => self.write(format_args!("boolean")),
            "\"null\"" => self.write(format_args!("null")),
            "\"array\"" => {
                let any = Schema::default();
                let items = schema.items.as_deref().unwrap_or(&any);
                self.kind(items, indent).write(format_args!("[]"))
            }
            "\"object\"" => self
                .write(format_args!("{{\n"))
                .properties(schema, indent + 2)
                .write(format_args!("\n}}")),
            several if several.starts_with('[') => self.several(several),
            _ => self.write(format_args!("any")),
        }
    }

    /// Writes a `type` that is an array of names, such as `["string","null"]`.
    fn several(self, json: &str) -> Self {
        let names: Vec<Cow<'_, str>> = serde_json::from_str(json).unwrap_or_default();
        self.joined(&names, |page, name| page.write(format_args!("{name}")))
    }

    fn joined<T>(mut self, items: &[T], mut write: impl FnMut(Self, &T) -> Self) -> Self {
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self = self.write(format_args!(" | "));
            }
            self = write(self, item);
        }
        self
    }

    fn write(mut self, text: fmt::Arguments<'_>) -> Self {
        // Writing to a string cannot fail.
        let _: fmt::Result = self.text.write_fmt(text);
        self
    }
}

impl<'a> Schema<'a> {
    fn properties(&self) -> &[Property<'a>] {
        self.properties.as_ref().map_or(&[], |properties| &properties.0)
    }
}
