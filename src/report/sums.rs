//! What attempts came to, in sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facet::Facet;
use crate::units::{PicoUsd, Tokens, Usage};

/// What some attempts came to. Sums that are too large stay at the largest number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// First tries: each request has one, and what is asked on a websocket is a request of its own.
    pub requests: u64,
    /// All tries, repeated ones included.
    pub attempts: u64,
    /// What was used of each kind.
    pub usage: Usage,
    /// What those cost whose cost is known.
    pub cost: PicoUsd,
    /// How many attempts have a cost that nobody knows.
    pub unknown: u64,
    /// Input and output of those.
    pub unknown_tokens: Tokens,
    /// How many attempts ended how.
    pub endings: BTreeMap<Arc<str>, u64>,
}

/// What the attempts of one facet came to that ended alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What they have in common.
    pub facet: Arc<Facet>,
    /// How they ended.
    pub ending: Arc<str>,
    /// What they came to.
    pub sums: Sums,
}

impl Sums {
    /// Adds what others came to.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.attempts = self.attempts.saturating_add(other.attempts);
        add_usage(&mut self.usage, &other.usage);
        self.cost = self.cost + other.cost;
        self.unknown = self.unknown.saturating_add(other.unknown);
        self.unknown_tokens += other.unknown_tokens;
        for (ending, count) in &other.endings {
            let known = self.endings.entry(Arc::clone(ending)).or_default();
            *known = known.saturating_add(*count);
        }
    }

    /// Returns input and output together.
    pub fn total_tokens(&self) -> Tokens {
        self.usage.total()
    }
}

fn add_usage(sum: &mut Usage, more: &Usage) {
    let Usage {
        input,
        cached,
        cached_audio,
        cached_image,
        cache_write,
        cache_write_long,
        input_audio,
        input_image,
        output,
        reasoning,
        output_audio,
        output_image,
        heard,
        spoken,
        images,
        searches,
    } = more;
    sum.input += *input;
    sum.cached += *cached;
    sum.cached_audio += *cached_audio;
    sum.cached_image += *cached_image;
    sum.cache_write += *cache_write;
    sum.cache_write_long += *cache_write_long;
    sum.input_audio += *input_audio;
    sum.input_image += *input_image;
    sum.output += *output;
    sum.reasoning += *reasoning;
    sum.output_audio += *output_audio;
    sum.output_image += *output_image;
    sum.heard = sum.heard.saturating_add(*heard);
    sum.spoken = sum.spoken.saturating_add(*spoken);
    sum.images = sum.images.saturating_add(*images);
    sum.searches = sum.searches.saturating_add(*searches);
}
