//! How urgent a request is, and on whose behalf it is sent.

use std::sync::Arc;

use super::AppName;

/// How urgent a request is: a higher class goes before a lower one, but for a small share that the
/// lower one keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// Work that nobody waits for.
    Batch,
    /// Everything that did not say what it is.
    #[default]
    Standard,
    /// Somebody sits at a prompt.
    Interactive,
}

impl Class {
    /// All classes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Standard, Self::Batch];

    /// Returns the word for it, in configuration, headers, metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Standard => "standard",
            Self::Interactive => "interactive",
        }
    }

    /// Returns the class of this label, upper or lower case; `None` where there is none.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.label().eq_ignore_ascii_case(label))
    }
}

/// On whose behalf a request is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Party {
    /// The program.
    pub app: AppName,
    /// How urgent its request is.
    pub class: Class,
    /// Its part of what the apps of a class share, in proportion to the others'; 100 is usual.
    pub weight: u32,
    /// What else its app is known by, such as `team=search`.
    pub labels: Arc<[Arc<str>]>,
}

impl Party {
    /// The weight of an app for which nobody configured one.
    pub const USUAL_WEIGHT: u32 = 100;

    /// Creates a party of the usual weight and class.
    pub fn usual(app: AppName) -> Self {
        let labels = Arc::default();
        Self { app, class: Class::Standard, weight: Self::USUAL_WEIGHT, labels }
    }
}
