//! On whose behalf a request is sent, and how urgent it is.

use std::sync::Arc;

use super::Gate;
use crate::config::AppSettings;
use crate::units::{AppName, Class, Party};

/// Who is asking. Cloning it copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The program, in logs, metrics and shares.
    pub app: AppName,
    /// The class of its requests, if nothing else is said.
    class: Class,
    /// The highest that they may have.
    max_class: Class,
    weight: u32,
    labels: Arc<[Arc<str>]>,
    /// Whether it may say which account serves it.
    pub may_choose_account: bool,
}

/// What a request looks like to the rules, and what it asks for.
#[derive(Debug, Clone, Copy)]
pub struct Looks<'a> {
    /// The path, with or without `/v1`.
    pub path: &'a str,
    /// The model; `None` for requests without one.
    pub model: Option<&'a str>,
    /// The `User-Agent`, if one came.
    pub user_agent: Option<&'a str>,
    /// The class that it asks for.
    pub asked: Option<Class>,
}

impl Client {
    /// Creates the client that has an app's key.
    pub(super) fn of_app(app: &AppSettings) -> Self {
        let AppSettings { class, max_class, weight, may_choose_account, .. } = *app;
        let labels = Arc::clone(&app.labels);
        Self { app: app.name.clone(), class, max_class, weight, labels, may_choose_account }
    }

    /// Creates a client on this machine that needs no key: it may have any class
    /// and any account.
    pub(super) fn named(app: AppName) -> Self {
        let (class, max_class) = (Class::Standard, Class::Interactive);
        let (weight, labels) = (Party::USUAL_WEIGHT, Arc::default());
        Self { app, class, max_class, weight, labels, may_choose_account: true }
    }
}

impl Gate {
    /// Tells on whose behalf `client` sends a request that `looks` so.
    ///
    /// The first rule that matches may set app and class; what was asked for may lower the class,
    /// and lift it as far as the rule's class and the key's highest.
    pub fn party(&self, client: &Client, looks: &Looks<'_>) -> Party {
        let Looks { path, model, user_agent, asked } = *looks;
        let rule = self.rules.iter().find(|rule| rule.matches(path, model, user_agent));
        let named = rule.and_then(|rule| rule.app.as_ref());
        let known = |name: &AppName| self.apps.iter().map(|(_, app)| app).find(|a| a.app == *name);
        let party = |of: &Client| Party {
            app: of.app.clone(),
            class: of.class,
            weight: of.weight,
            labels: Arc::clone(&of.labels),
        };
        let usual = match named {
            None => party(client),
            Some(name) => known(name).map_or_else(|| Party::usual(name.clone()), party),
        };
        let ruled = rule.and_then(|rule| rule.class);
        let most = client.max_class.min(ruled.unwrap_or(Class::Interactive));
        let class = asked.or(ruled).unwrap_or(usual.class).min(most);
        Party { class, ..usual }
    }
}
