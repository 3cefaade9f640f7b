//! How accounts and their keys are doing: a part of `/line`, and a gauge.

use std::fmt::Write as _;

use serde::Serialize;

use super::line::{Views, escaped};
use crate::units::UpstreamName;
use crate::upstream::{Condition, KeyCondition, Trouble};

/// An account in `/line`.
#[derive(Serialize)]
pub(super) struct AccountView<'a> {
    upstream: &'a str,
    account: &'a str,
    state: &'static str,
    /// What the provider, or the connection, said; `null` where it is ready.
    said: Option<&'a str>,
    keys: Vec<KeyView<'a>>,
}

#[derive(Serialize)]
struct KeyView<'a> {
    key: &'a str,
    state: &'static str,
    said: Option<&'a str>,
}

impl<'a> AccountView<'a> {
    pub(super) fn of(upstream: &'a UpstreamName, account: &'a Condition) -> Self {
        let (state, said) = shown(account.trouble.as_ref());
        Self {
            upstream: upstream.as_str(),
            account: account.account.as_str(),
            state,
            said,
            keys: account.keys.iter().map(KeyView::of).collect(),
        }
    }
}

impl<'a> KeyView<'a> {
    fn of((key, trouble): &'a KeyCondition) -> Self {
        let (state, said) = shown(trouble.as_ref());
        Self { key: key.as_str(), state, said }
    }
}

/// Returns `views` as an OpenMetrics gauge of each key; nothing where clients bring their own.
pub(super) fn gauges(views: &Views) -> String {
    let mut text = String::from(
        "# HELP sluicegate_key_usable Whether a key of ours, its account and its provider are in order: 1 or 0.\n\
         # TYPE sluicegate_key_usable gauge\n",
    );
    let all = views.iter().flat_map(|(name, snapshot)| {
        snapshot.accounts.iter().map(move |account| (name.as_str(), account))
    });
    for (upstream, condition) in all {
        let (upstream, account) = (escaped(upstream), escaped(condition.account.as_str()));
        for (key, trouble) in &condition.keys {
            let key = escaped(key.as_str());
            let usable = u8::from(trouble.is_none() && condition.trouble.is_none());
            // Writing to a text cannot fail.
            let _written = writeln!(
                text,
                "sluicegate_key_usable{{upstream=\"{upstream}\",account=\"{account}\",key=\"{key}\"}} {usable}",
            );
        }
    }
    text
}

fn shown(trouble: Option<&Trouble>) -> (&'static str, Option<&str>) {
    trouble.map_or(("ready", None), |trouble| (trouble.ail.label(), Some(&*trouble.said)))
}
