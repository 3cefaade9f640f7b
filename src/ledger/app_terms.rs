//! What an app is granted, as it is written down.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{AppKey, AppSettings, ModelPattern, Patterns};
use crate::limit::{AppLimits, OutputReserve};
use crate::units::{AppName, Class, Party};

/// What an app is granted; what is left out is as usual. Fields of newer programs are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppTerms {
    /// The class of its requests: `interactive`, `standard` or `batch`.
    pub class: Option<String>,
    /// The highest class that they may ask for.
    pub max_class: Option<String>,
    /// Its part of what the apps of a class share.
    pub weight: Option<u32>,
    /// Whether it may say which account serves a request.
    pub choose_account: bool,
    /// What else it is known by.
    pub labels: Vec<String>,
    /// Requests in any minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens in any minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests in any day.
    pub requests_per_day: Option<u64>,
    /// Tokens in any day.
    pub tokens_per_day: Option<u64>,
    /// Requests under way at one time.
    pub concurrency: Option<u64>,
    /// Whether the most that a request may write is reserved.
    pub strict: bool,
    /// The models that it may ask for, as patterns; none: all.
    pub models: Vec<String>,
    /// The paths that it may ask for, as patterns; none: all.
    pub endpoints: Vec<String>,
    /// When its keys stop to work, in seconds since 1970-01-01 UTC.
    pub expires: Option<u64>,
    /// What it may spend: the lines of a `[[budgets]]` without name and apps.
    pub budget: Option<String>,
}

impl AppTerms {
    /// Returns the app of this name and these keys.
    pub fn settings(&self, name: AppName, keys: Vec<AppKey>) -> AppSettings {
        let class =
            |label: &Option<String>| Class::from_label(label.as_deref().unwrap_or_default());
        let usual = class(&self.class).unwrap_or_default();
        let patterns = |texts: &[String]| Patterns(texts.iter().map(ModelPattern::new).collect());
        AppSettings {
            name,
            keys,
            class: usual,
            max_class: class(&self.max_class).unwrap_or(usual).max(usual),
            weight: self.weight.unwrap_or(Party::USUAL_WEIGHT),
            may_choose_account: self.choose_account,
            labels: self.labels.iter().map(|label| Arc::from(label.as_str())).collect(),
            limits: AppLimits {
                requests_per_minute: self.requests_per_minute,
                tokens_per_minute: self.tokens_per_minute,
                requests_per_day: self.requests_per_day,
                tokens_per_day: self.tokens_per_day,
                concurrency: self.concurrency,
                reserves: if self.strict { OutputReserve::Most } else { OutputReserve::Expected },
                ..AppLimits::default()
            },
            models: patterns(&self.models).0,
            endpoints: patterns(&self.endpoints).paths(),
            expires: self.expires.map(Duration::from_secs),
        }
    }
}
