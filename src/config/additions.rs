//! Adds to what is configured what commands have put into the store: apps, and their budgets.

use std::collections::HashSet;

use super::{AppSettings, Settings};
use crate::budget::BudgetSettings;
use crate::units::AppName;

/// What the store adds to the configuration.
#[derive(Debug, Clone, Default)]
pub struct Additions {
    /// Apps; those that are revoked have no keys.
    pub apps: Vec<AppSettings>,
    /// Budgets, each of one of these apps.
    pub budgets: Vec<BudgetSettings>,
}

impl Additions {
    /// Returns the names of those apps that the configuration has as well: there it is the one that counts.
    pub fn shadowed_by<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = &'a AppName> {
        let is_configured =
            |app: &&AppSettings| settings.apps.iter().any(|other| other.name == app.name);
        self.apps.iter().filter(is_configured).map(|app| &app.name)
    }
}

impl Settings {
    /// Tells whether apps may have keys: where clients bring their own, those would be sent to the provider.
    pub fn may_have_apps(&self) -> bool {
        self.upstreams.iter().all(|upstream| !upstream.accounts.is_empty())
    }

    /// Returns these settings with what is added, where apps may have keys. Of an app that both have, the
    /// configuration is the one that counts, with all that it says.
    #[must_use]
    pub fn with(mut self, added: &Additions) -> Self {
        if !self.may_have_apps() {
            return self;
        }
        let shadowed: HashSet<&AppName> = added.shadowed_by(&self).collect();
        let apps = added.apps.iter().filter(|app| !shadowed.contains(&app.name));
        let budgets = added.budgets.iter().filter(|budget| {
            let is_known = self.budgets.iter().any(|other| other.name == budget.name);
            !is_known && !budget.scope.apps.iter().any(|app| shadowed.contains(app))
        });
        let (apps, budgets): (Vec<_>, Vec<_>) =
            (apps.cloned().collect(), budgets.cloned().collect());
        self.apps.extend(apps);
        self.budgets.extend(budgets);
        self
    }
}
