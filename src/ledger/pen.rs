//! How an entry is written down.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::entry::{Closing, Opening};
use super::row::{Common, ENTRY, LABEL_BREAK, Row, Value, millis};
use crate::clock::WallClock;
use crate::units::{Choice, Name, PicoUsd, Served, Tokens, below_base};

/// A label that is known to the program, and as it is written.
type Word = (&'static str, Arc<str>);

/// Writes entries down. What many of them have in common is written once, and shared by their rows.
#[derive(Debug, Default)]
pub(super) struct Pen {
    /// The values of facets by their hash; at most [`MOST_FACETS`].
    facets: HashMap<i64, Arc<Common>>,
    /// The labels that are known to the program: few.
    words: Vec<Word>,
    /// Why accounts and keys were taken, in words; at most [`MOST_FACETS`].
    choices: HashMap<Choice, Arc<str>>,
    /// Where what a facet is hashed from is put together.
    whole: String,
}

impl Pen {
    /// Writes down what is known of the attempt `seq` of `run`; the dates are `clock`'s.
    pub(super) fn row(
        &mut self,
        (run, seq): (i64, i64),
        opening: &Opening,
        closing: Option<&Closing>,
        clock: WallClock,
    ) -> Row {
        let (id, facet) = self.facet(opening, closing.map(|closing| &closing.served));
        let date = |at| millis(clock.since_epoch(at));
        let demand = &opening.demand;
        let mut entry = Vec::with_capacity(ENTRY.len());
        entry.extend([
            number(run),
            number(seq),
            text(opening.request.as_str()),
            number(i64::from(opening.attempt)),
            number(date(opening.sent)),
            number(millis(opening.queued)),
            opening.waited_for.map_or(Value::Text(None), |quota| self.word(quota.label())),
            tokens(demand.input),
            Value::Number(demand.output_bound.map(|bound| count(bound.count()))),
            self.word(demand.method.label()),
            number(id),
        ]);
        match closing {
            Some(closing) => entry.extend(self.booked(opening, closing, date)),
            None => {
                entry.extend(OPEN.map(|kind| match kind {
                    None => Value::Text(None),
                    Some(value) => Value::Number(value),
                }));
                entry.push(cost(opening.expected));
            }
        }
        entry.push(self.choice(opening.chosen));
        Row { facet, entry: entry.into() }
    }

    /// Returns the values from `provider_id` on of an attempt that is over.
    fn booked(
        &mut self,
        opening: &Opening,
        closing: &Closing,
        date: impl Fn(Instant) -> i64,
    ) -> [Value; 24] {
        let usage = &closing.usage;
        let id = closing.provider_id.as_ref().and_then(|id| id.to_str().ok());
        let since = |at: Instant, from| millis(at.saturating_duration_since(from));
        [
            id.map_or(Value::Text(None), text),
            number(date(closing.at)),
            Value::Number(closing.head_at.map(|at| since(at, opening.sent))),
            number(since(closing.at, opening.arrived)),
            number(i64::from(closing.status)),
            self.word(closing.fate.label()),
            self.word(closing.method.label()),
            tokens(usage.input),
            tokens(usage.cached),
            tokens(usage.cache_write),
            tokens(usage.output),
            tokens(usage.reasoning),
            tokens(usage.input_audio),
            tokens(usage.input_image),
            tokens(usage.output_audio),
            tokens(usage.output_image),
            tokens(usage.cached_audio),
            tokens(usage.cached_image),
            tokens(usage.cache_write_long),
            number(millis(usage.heard)),
            number(count(usage.spoken)),
            number(count(usage.images)),
            number(count(usage.searches)),
            cost(closing.cost),
        ]
    }

    /// Returns the hash and the values of the attempt's facet.
    fn facet(&mut self, opening: &Opening, served: Option<&Served>) -> (i64, Arc<Common>) {
        let labels = opening.party.labels.join(LABEL_BREAK.encode_utf8(&mut [0; 4]));
        let served_model = served.and_then(|served| served.model.as_ref()).map(Name::as_str);
        let tier = served.and_then(|served| served.tier.as_ref()).map(Name::as_str);
        let texts = [
            Some(opening.party.app.as_str()),
            Some(opening.party.class.label()),
            Some(labels.as_str()).filter(|labels| !labels.is_empty()),
            Some(known(opening.upstream.as_ref())),
            Some(known(opening.account.as_ref())),
            Some(known(opening.key.as_ref())),
            Some(place(opening)),
            Some(opening.model.as_str()),
            Some(opening.sent_model.as_str()),
            served_model,
            tier,
        ];
        self.whole.clear();
        for (at, value) in texts.iter().enumerate() {
            // Labels are whole: what cut them would make other labels of them.
            let most = if at == LABELS { usize::MAX } else { MOST_OF_A_TEXT };
            let value = value.map_or("\u{1}", |value| cut(value, most));
            self.whole.push_str(&without_zero(value));
            self.whole.push('\n');
        }
        // The highest bit is left out: numbers of databases have a sign.
        let id = i64::try_from(xxh3_64(self.whole.as_bytes()) >> 1).unwrap_or_default();
        if let Some(facet) = self.facets.get(&id) {
            return (id, Arc::clone(facet));
        }
        if self.facets.len() >= MOST_FACETS {
            self.facets.clear();
        }
        let values = texts.into_iter().enumerate().map(|(at, value)| match value {
            Some(labels) if at == LABELS => Value::Text(Some(labels.into())),
            value => value.map_or(Value::Text(None), text),
        });
        let facet = Arc::new(Common::new(std::iter::once(number(id)).chain(values).collect()));
        self.facets.insert(id, Arc::clone(&facet));
        (id, facet)
    }

    fn choice(&mut self, choice: Choice) -> Value {
        if self.choices.len() >= MOST_FACETS {
            self.choices.clear();
        }
        let words = self.choices.entry(choice).or_insert_with(|| choice.to_string().into());
        Value::Text(Some(Arc::clone(words)))
    }

    /// Returns the value of a label that is known to the program.
    fn word(&mut self, label: &'static str) -> Value {
        if let Some((_, word)) = self.words.iter().find(|(known, _)| *known == label) {
            return Value::Text(Some(Arc::clone(word)));
        }
        let word: Arc<str> = label.into();
        self.words.push((label, Arc::clone(&word)));
        Value::Text(Some(word))
    }
}

/// Where the labels stand among the texts of a facet.
const LABELS: usize = 2;

/// What stands in the columns from `provider_id` on until it is booked, but for the cost: texts are null.
const OPEN: [Option<Option<i64>>; 23] = {
    let mut open = [Some(Some(0)); 23];
    // provider_id, ending, method
    (open[0], open[5], open[6]) = (None, None, None);
    // booked_ms, first_ms, total_ms, status
    (open[1], open[2], open[3]) = (Some(None), Some(None), Some(None));
    open[4] = Some(None);
    open
};

/// Returns a name that may not be known.
fn known<K>(name: Option<&Name<K>>) -> &str {
    name.map_or("", Name::as_str)
}

/// Returns the name of what an attempt asks for.
fn place(opening: &Opening) -> &str {
    let asked = opening.uri.path().get(opening.led..).unwrap_or_default();
    opening.endpoint.unwrap_or_else(|| front(asked))
}

/// Returns the front of a path that names an endpoint and no object.
fn front(path: &str) -> &str {
    let names_endpoint = |part: &str| {
        part.len() <= 24 && part.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'))
    };
    let path = below_base(path);
    let mut end = 0;
    for part in path.split('/').skip(1).take(3).take_while(|part| names_endpoint(part)) {
        end += 1 + part.len();
    }
    path.get(..end).filter(|front| !front.is_empty()).unwrap_or("/")
}

fn number(number: i64) -> Value {
    Value::Number(Some(number))
}

fn tokens(tokens: Tokens) -> Value {
    number(count(tokens.count()))
}

/// Makes a value of a text, of which no more is kept than has room.
fn text(text: &str) -> Value {
    Value::Text(Some(without_zero(cut(text, MOST_OF_A_TEXT)).into()))
}

/// Returns the text without what no database takes.
fn without_zero(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', " ").into() } else { text.into() }
}

/// Writes an amount; null where it is not known.
fn cost(cost: Option<PicoUsd>) -> Value {
    Value::Number(cost.map(|cost| i64::try_from(cost.pico()).unwrap_or(i64::MAX)))
}

/// Returns a count of what an answer tells; of one that nobody believes, the most that is written down, so that
/// sums of millions of them have room.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).min(MOST_TOLD)
}

/// Returns the front of a text that has so many bytes at most.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// No answer has a trillion tokens.
const MOST_TOLD: i64 = 1_000_000_000_000;
/// Names come from clients: so many bytes of one are kept.
const MOST_OF_A_TEXT: usize = 160;
/// So many facets are kept; with more, they are written down anew.
const MOST_FACETS: usize = 4_096;

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_written_without_the_objects_that_it_names() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("/v1/chat/completions",                      "/chat/completions"),
            ("/v1/files/file-abc123/content",             "/files"),
            ("/openai/deployments/my-gpt-4o/embeddings",  "/embeddings"),
            ("/v1",                                       "/"),
            ("/",                                         "/"),
            ("",                                          "/"),
            ("/v1/responses/resp_67/cancel",              "/responses"),
            ("/v1beta/models",                            "/"),
        ];
        for (path, front) in cases {
            assert_eq!(super::front(path), front, "{path}");
        }
    }
}
