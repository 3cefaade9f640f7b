//! On whose behalf a request is sent, and how urgent it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

use super::Gate;
use crate::config::{AppSettings, ModelPattern};
use crate::units::{AppName, Class, ModelName, Party};

/// Who is asking. Cloning it copies a pointer.
#[derive(Debug, Clone)]
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
    /// Whether it was let in by a key, which may be revoked while its request waits.
    pub has_key: bool,
    scope: Arc<Scope>,
}

/// What an app may ask for, and for how long.
#[derive(Debug, Default)]
struct Scope {
    models: Vec<ModelPattern>,
    endpoints: Vec<ModelPattern>,
    /// When its keys stop to work, as time since 1970-01-01 UTC.
    expires: Option<Duration>,
    /// The hour in which that was told last.
    told: AtomicU64,
}

/// Why an app may not ask for something; answered with 403.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// The model is not among its own.
    #[error("App `{app}` does not have access to model `{model}`; it may ask for {may}.")]
    Model {
        /// The app.
        app: AppName,
        /// The model.
        model: ModelName,
        /// What it may ask for.
        may: String,
    },
    /// The path is not among its own.
    #[error("App `{app}` does not have access to `{path}`; it may ask for {may}.")]
    Endpoint {
        /// The app.
        app: AppName,
        /// The path.
        path: String,
        /// What it may ask for.
        may: String,
    },
    /// Each request on the websocket names a model of its own.
    #[error(
        "App `{app}` may ask for {may} only, so it cannot have a websocket that names no model."
    )]
    Socket {
        /// The app.
        app: AppName,
        /// What it may ask for.
        may: String,
    },
}

impl Forbidden {
    /// Returns the `code` of an error in OpenAI's shape; its `type` is `invalid_request_error`.
    ///
    /// A model that a project may not use is answered by OpenAI with 403 and this code
    /// (<https://github.com/Aider-AI/aider/issues/604>, 2024-05-16).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Model { .. } | Self::Socket { .. } => "model_not_found",
            Self::Endpoint { .. } => "insufficient_permissions",
        }
    }
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
        let scope = Arc::new(Scope {
            models: app.models.clone(),
            endpoints: app.endpoints.clone(),
            expires: app.expires,
            told: AtomicU64::new(0),
        });
        let (app, has_key) = (app.name.clone(), true);
        Self { app, class, max_class, weight, labels, may_choose_account, has_key, scope }
    }

    /// Creates a client on this machine that needs no key: it may have any class
    /// and any account.
    pub(super) fn named(app: AppName) -> Self {
        let (class, max_class) = (Class::Standard, Class::Interactive);
        let (weight, labels) = (Party::USUAL_WEIGHT, Arc::default());
        let scope = Arc::default();
        let (may_choose_account, has_key) = (true, false);
        Self { app, class, max_class, weight, labels, may_choose_account, has_key, scope }
    }

    /// Tells whether it may ask for `path`, and for `model`, if the request names one.
    ///
    /// # Errors
    ///
    /// Returns what it may not ask for, with what it may.
    pub fn permit(&self, path: &str, model: Option<&ModelName>) -> Result<(), Forbidden> {
        let Scope { models, endpoints, .. } = &*self.scope;
        let is_of_path = |pattern: &ModelPattern| pattern.matches_path(path);
        if !endpoints.is_empty() && !endpoints.iter().any(is_of_path) {
            let (app, path) = (self.app.clone(), path.to_owned());
            return Err(Forbidden::Endpoint { app, path, may: listed(endpoints) });
        }
        match model {
            Some(model)
                if !models.is_empty()
                    && !models.iter().any(|pattern| pattern.matches(model.as_str())) =>
            {
                let (app, model) = (self.app.clone(), model.clone());
                Err(Forbidden::Model { app, model, may: listed(models) })
            }
            _ => Ok(()),
        }
    }

    /// Tells whether it may have a websocket on which each request names a model.
    ///
    /// # Errors
    ///
    /// Returns [`Forbidden::Socket`] where its models are bounded.
    pub fn permit_any_model(&self) -> Result<(), Forbidden> {
        if self.scope.models.is_empty() {
            return Ok(());
        }
        Err(Forbidden::Socket { app: self.app.clone(), may: listed(&self.scope.models) })
    }

    /// Returns how long its keys still work, where that is at most a week, but only once an hour: somebody should
    /// know.
    pub fn warning(&self, now: Duration) -> Option<Duration> {
        let left = self.scope.expires?.checked_sub(now).filter(|left| *left <= WEEK)?;
        let hour = now.as_secs() / 3600;
        (self.scope.told.swap(hour, Ordering::Relaxed) != hour).then_some(left)
    }
}

fn listed(patterns: &[ModelPattern]) -> String {
    patterns.iter().map(|one| format!("`{}`", one.as_str())).collect::<Vec<_>>().join(", ")
}

/// So long before its end an app's owner is told.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Gate {
    /// Tells on whose behalf `client` sends a request that `looks` so.
    ///
    /// The first rule that matches may set app and class; what was asked for may lower the class,
    /// and lift it as far as the rule's class and the key's highest.
    pub fn party(&self, client: &Client, looks: &Looks<'_>) -> Party {
        let Looks { path, model, user_agent, asked } = *looks;
        let rule = self.rules.iter().find(|rule| rule.matches(path, model, user_agent));
        let named = rule.and_then(|rule| rule.app.as_ref());
        let known = |name: &AppName| self.apps.get(name);
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
