//! What a report can be cut by.

use std::sync::Arc;

use super::facet::Facet;
use super::sums::Line;

/// What the rows of a report are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// The day, in the report's time zone.
    Day,
    /// The app.
    App,
    /// The model, as the upstream was asked for it.
    Model,
    /// The model that answered, as the provider names it.
    Served,
    /// The account that pays.
    Account,
    /// The label of an app. Who has several counts under each of them.
    Label,
    /// How urgent it was.
    Class,
    /// The front of the path.
    Endpoint,
    /// The upstream.
    Upstream,
    /// The label of the key.
    Key,
    /// The service tier, in the provider's word.
    Tier,
    /// How it ended.
    Ending,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Day,
        Self::App,
        Self::Model,
        Self::Served,
        Self::Account,
        Self::Label,
        Self::Class,
        Self::Endpoint,
        Self::Upstream,
        Self::Key,
        Self::Tier,
        Self::Ending,
    ];

    /// Returns its name, on the command line and over its column.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::App => "app",
            Self::Model => "model",
            Self::Served => "served",
            Self::Account => "account",
            Self::Label => "label",
            Self::Class => "class",
            Self::Endpoint => "endpoint",
            Self::Upstream => "upstream",
            Self::Key => "key",
            Self::Tier => "tier",
            Self::Ending => "ending",
        }
    }

    /// Returns the one of that name.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.label() == label)
    }

    /// Tells whether a line has this name here; an empty one: whether it has none. No line tells its day.
    pub fn is(self, line: &Line, name: &str) -> bool {
        let values = self.values(&Arc::default(), &line.facet, &line.ending);
        if name.is_empty() {
            values.is_empty()
        } else {
            values.iter().any(|value| **value == *name)
        }
    }

    /// Returns what stands in this column: one text, or of labels all; none where nothing is known.
    pub(super) fn values(self, day: &Arc<str>, facet: &Facet, ending: &Arc<str>) -> Vec<Arc<str>> {
        let one = match self {
            Self::Label => return facet.labels.clone(),
            Self::Day => day,
            Self::App => &facet.app,
            Self::Model => &facet.sent_model,
            Self::Served => facet.counted_as(),
            Self::Account => &facet.account,
            Self::Class => &facet.class,
            Self::Endpoint => &facet.endpoint,
            Self::Upstream => &facet.upstream,
            Self::Key => &facet.key,
            Self::Tier => &facet.tier,
            Self::Ending => ending,
        };
        if one.is_empty() { Vec::new() } else { vec![Arc::clone(one)] }
    }
}
