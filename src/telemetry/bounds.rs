//! Which apps and models have metrics of their own: their names come from clients, and a page of metrics that grows
//! with them would be read by nobody.
//!
//! Apps that the configuration names always have. Of the others the first [`MOST_APPS`] have, and of models the first
//! [`MOST_MODELS`]; all that come later are summed under [`OTHER`].

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwap;
use dashmap::DashSet;

use crate::units::{AppName, ModelName};

/// The names that are told apart.
#[derive(Debug)]
pub(super) struct Bounds {
    configured: ArcSwap<HashSet<AppName>>,
    apps: DashSet<AppName>,
    models: DashSet<ModelName>,
}

impl Bounds {
    /// Creates bounds that know only the apps of the configuration.
    pub(super) fn new(configured: HashSet<AppName>) -> Self {
        let configured = ArcSwap::from_pointee(configured);
        Self { configured, apps: DashSet::new(), models: DashSet::new() }
    }

    /// Lets the apps of another configuration have their own from now on.
    pub(super) fn renew(&self, configured: HashSet<AppName>) {
        self.configured.store(Arc::new(configured));
    }

    /// Returns the labels for requests of `app` for `model`, where there are `series` so far.
    pub(super) fn labels(
        &self,
        (app, model): (&AppName, &ModelName),
        series: usize,
    ) -> (AppName, ModelName) {
        let has_own = self.configured.load().contains(app)
            || series < MOST_SERIES && is_among(&self.apps, app, MOST_APPS);
        let app = if has_own { app.clone() } else { AppName::new(OTHER) };
        (app, self.model(model))
    }

    /// Returns the label for requests for `model`.
    pub(super) fn model(&self, model: &ModelName) -> ModelName {
        let has_own = is_among(&self.models, model, MOST_MODELS);
        if has_own { model.clone() } else { ModelName::new(OTHER) }
    }
}

/// Tells whether a name is one of the first `most`, and notes it if there are fewer.
fn is_among<T: Clone + Eq + Hash>(known: &DashSet<T>, name: &T, most: usize) -> bool {
    known.contains(name) || known.len() < most && known.insert(name.clone())
}

/// The name of all that have none of their own.
pub(super) const OTHER: &str = "(other)";
/// How many apps that nobody configured have metrics of their own.
pub(super) const MOST_APPS: usize = 50;
/// How many models have.
pub(super) const MOST_MODELS: usize = 20;
/// From so many apps times models times classes on, only configured apps get more.
pub(super) const MOST_SERIES: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(bounds: &Bounds, app: &str, series: usize) -> String {
        let labels = bounds.labels((&AppName::new(app), &ModelName::new("m")), series);
        labels.0.to_string()
    }

    #[test]
    fn a_configured_app_has_its_own_series_however_late_it_comes() {
        let bounds = Bounds::new([AppName::new("mine")].into());
        for n in 0..MOST_APPS {
            assert_eq!(labels(&bounds, &format!("app{n}"), 0), format!("app{n}"));
        }
        assert_eq!(labels(&bounds, "one-too-many", 0), OTHER);
        assert_eq!(labels(&bounds, "app0", 0), "app0", "who had one keeps it");
        assert_eq!(labels(&bounds, "app0", MOST_SERIES), OTHER, "but gets no more");
        assert_eq!(labels(&bounds, "mine", MOST_SERIES), "mine");
        bounds.renew([AppName::new("late")].into());
        assert_eq!(labels(&bounds, "late", MOST_SERIES), "late");
    }
}
