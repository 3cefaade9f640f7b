//! The newer price list that a user had read: the file in the data folder, and what it changes.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::list::PriceList;
use super::prices::{PriceError, Prices};

/// The name of the file in the data folder.
pub const NEWER_PRICES: &str = "prices.json";

/// A newer price list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewerList {
    /// When it was read, and from where, in words.
    pub origin: String,
    /// The prices of each model.
    pub models: HashMap<String, Prices>,
}

/// Why the file of a newer price list cannot be read.
#[derive(Debug, Error)]
pub enum NewerListError {
    /// It is no such file.
    #[error("it is no price list of this program")]
    Json(#[from] serde_json::Error),
    /// It is of another version of this program.
    #[error("it has format {0}, but this version of sluicegate reads {FORMAT}")]
    Format(u32),
    /// A price cannot be read.
    #[error("`{model}`")]
    Price {
        /// The model.
        model: String,
        /// What is wrong.
        #[source]
        source: PriceError,
    },
}

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    origin: String,
    models: Map<String, Value>,
}

impl NewerList {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Returns a [`NewerListError`] where it is damaged, or of a newer version of this program.
    pub fn read(text: &str) -> Result<Self, NewerListError> {
        let File { format, origin, models } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(NewerListError::Format(format));
        }
        let read = |(model, value): (String, Value)| {
            let written = value.as_object().cloned().unwrap_or_default();
            match Prices::from_json(&written) {
                Ok(prices) => Ok((model, prices)),
                Err(source) => Err(NewerListError::Price { model, source }),
            }
        };
        let models = models.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { origin, models })
    }

    /// Writes the file, one model a line.
    pub fn write(&self) -> String {
        let mut names: Vec<_> = self.models.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        let rows: Vec<_> = names
            .into_iter()
            .map(|(name, prices)| {
                format!("{}: {}", Value::from(name.as_str()), Value::Object(prices.to_json()))
            })
            .collect();
        let origin = Value::from(self.origin.as_str());
        let rows = rows.join(",\n");
        format!("{{\"format\": {FORMAT}, \"origin\": {origin}, \"models\": {{\n{rows}\n}}}}\n")
    }

    /// Takes over what a common list cannot tell from the list in the program: which models search the web
    /// each time.
    #[must_use]
    pub fn completed(mut self) -> Self {
        let embedded = PriceList::embedded();
        for (name, prices) in &mut self.models {
            if embedded.find(name).is_some_and(|(known, it)| known == name && it.searches_always())
            {
                prices.set_searches_always();
            }
        }
        self
    }

    /// Returns what it changes of `present`, the list that holds until then.
    pub fn changes(&self, present: &PriceList) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, prices) in &self.models {
            match present.find(name).filter(|(known, _)| known == name) {
                None => changes.push(Change { model: name.clone(), what: What::New }),
                Some((_, old)) if old != prices => {
                    changes.push(Change {
                        model: name.clone(),
                        what: What::Prices(old.differences(prices)),
                    });
                }
                Some(_) => {}
            }
        }
        let gone = present.newer().models.keys().filter(|name| !self.models.contains_key(*name));
        changes.extend(gone.map(|name| Change { model: name.clone(), what: What::Gone }));
        changes.sort_by(|one, other| one.model.cmp(&other.model));
        changes
    }
}

/// What a newer list changes of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The model.
    pub model: String,
    /// What becomes of it.
    pub what: What,
}

/// What becomes of a model's prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// There were none.
    New,
    /// They are others; each in words, such as `input 2.5 -> 2`.
    Prices(Vec<String>),
    /// They were in the newer list before, and are not any more: those in the program count again, if any.
    Gone,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = &self.model;
        match &self.what {
            What::New => write!(f, "{model}: new"),
            What::Prices(changes) => write!(f, "{model}: {}", changes.join(", ")),
            What::Gone => write!(f, "{model}: no longer in the list"),
        }
    }
}

/// The format of the file. Whoever changes it raises this.
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(models: Value) -> NewerList {
        let file = json!({"format": 1, "origin": "x", "models": models});
        NewerList::read(&file.to_string()).expect("a list")
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = list(json!({
            "a \"quoted\" name": {"input": 1, "batch": {"input": 0.5}},
            "b": {"images": {"low/1x1": 7}, "searches_always": true},
        }));
        assert_eq!(NewerList::read(&list.write()).expect("a list"), list);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let read = |text: &str| NewerList::read(text).expect_err("it was read").to_string();
        assert_eq!(read("{"), "it is no price list of this program");
        assert!(read(r#"{"format": 2, "origin": "x", "models": {}}"#).contains("format 2"));
        assert_eq!(read(r#"{"format": 1, "origin": "x", "models": {"m": {"x": 1}}}"#), "`m`");
    }

    #[test]
    fn changes_are_told_price_by_price() {
        let before = list(json!({"gpt-4o": {"input": 2}, "old": {"input": 1}}));
        let present = PriceList::embedded().with_newer(before);
        let next = list(json!({
            "gpt-4o": {"input": 2.25, "output": 9, "batch": {"input": 1}},
            "o1": {"input": 15, "cached": 7.5, "output": 60, "batch": {"input": 7.5, "output": 30}},
            "new": {"input": 1},
        }));
        let told: Vec<_> = next.changes(&present).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "gpt-4o: input 2 -> 2.25, batch input (none) -> 1, output (none) -> 9",
                "new: new",
                "old: no longer in the list",
            ]
        );
    }

    #[test]
    fn a_newer_list_keeps_which_models_search_each_time() {
        let newer =
            list(json!({"gpt-5-search-api": {"input": 1}, "gpt-4o": {"input": 1}})).completed();
        assert!(newer.models["gpt-5-search-api"].searches_always());
        assert!(!newer.models["gpt-4o"].searches_always());
    }
}
