//! Tries each key at the provider.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;

use super::exit::{CliError, Exit};
use crate::config::{Settings, TimeoutSettings, UpstreamSettings};
use crate::units::KeyLabel;
use crate::upstream::{
    Address, Authorization, Client, Credential, Finding, NetworkEnvironment, SendError, Verdict,
    try_key,
};

/// What became of one key.
#[derive(Debug)]
pub(super) struct Trial {
    account: String,
    key: KeyLabel,
    outcome: Result<Finding, SendError>,
    needs: Needs,
}

/// What a trial must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// The provider accepts the key.
    Acceptance,
    /// The provider answers; there is no key to be accepted.
    Answer,
}

impl Trial {
    /// Tells whether requests can be sent with this key.
    fn works(&self) -> bool {
        match (&self.outcome, self.needs) {
            (Ok(Finding { verdict, .. }), Needs::Acceptance) => {
                matches!(verdict, Verdict::Fine | Verdict::RateLimited | Verdict::SlowDown)
            }
            (Ok(Finding { verdict, .. }), Needs::Answer) => {
                matches!(
                    verdict,
                    Verdict::Fine
                        | Verdict::KeyRejected
                        | Verdict::BadRequest
                        | Verdict::NoSuchModel
                )
            }
            (Err(_), _) => false,
        }
    }

    /// Tells whether the provider was asked and does not take the key.
    fn is_refused(&self) -> bool {
        let verdict = self.outcome.as_ref().ok().map(|finding| finding.verdict);
        self.needs == Needs::Acceptance
            && matches!(verdict, Some(Verdict::KeyRejected | Verdict::OutOfQuota))
    }

    /// Tells what became of the key, and what to do about it.
    fn words(&self) -> String {
        let verdict = match &self.outcome {
            Ok(finding) => finding.verdict,
            Err(error) => return unreachable_words(error),
        };
        let words = match verdict {
            _ if self.works() && self.needs == Needs::Answer => "reachable",
            Verdict::Fine | Verdict::Accepted => "ok",
            Verdict::RateLimited | Verdict::SlowDown => "ok, but at its rate limit now",
            Verdict::KeyRejected => "invalid: the provider does not accept it",
            Verdict::OutOfQuota => "no quota: the account has no money or quota left",
            Verdict::BadRequest | Verdict::NoSuchModel | Verdict::TooLarge => {
                "unclear: the provider does not list its models; is `base_url` right?"
            }
            Verdict::Overloaded | Verdict::ServerError => {
                "unclear: the provider fails now; try again"
            }
            Verdict::Unreachable => "unreachable",
        };
        words.to_owned()
    }
}

/// Returns how the program ends after `trials`; a key that does not work counts more than a provider that cannot be
/// asked.
pub(super) fn exit(trials: &[Trial]) -> Exit {
    if trials.iter().any(Trial::is_refused) {
        return Exit::Key;
    }
    if trials.iter().all(Trial::works) { Exit::Done } else { Exit::Failed }
}

/// Tries every key of every upstream, all at the same time.
///
/// # Errors
///
/// Returns [`CliError::Client`] where the environment's proxy or roots cannot be used.
pub(super) async fn try_keys(settings: &Settings) -> Result<Vec<Trial>, CliError> {
    let response = settings.timeouts.response.min(PATIENCE);
    let timeouts = TimeoutSettings { response, ..settings.timeouts.clone() };
    let environment = NetworkEnvironment::read(|name| std::env::var(name).ok());
    let client = Client::new(&timeouts, environment)?;
    let mut trials = Vec::new();
    let several = settings.upstreams.len() > 1;
    for upstream in &settings.upstreams {
        let address = Address::of_upstream(upstream);
        let tried = candidates(upstream).into_iter().map(|(account, credential)| {
            let (client, address) = (&client, &address);
            async move {
                let needs = match credential.authorization {
                    Authorization::Client => Needs::Answer,
                    Authorization::Ours { .. } => Needs::Acceptance,
                };
                let outcome = try_key(client, address, &credential).await;
                let account =
                    if several { format!("{}/{account}", upstream.name) } else { account };
                Trial { account, key: credential.label, outcome, needs }
            }
        });
        trials.extend(join_all(tried).await);
    }
    Ok(trials)
}

/// Returns the credentials of an upstream with the names of their accounts; without any, one that
/// shows whether the provider is there.
fn candidates(upstream: &UpstreamSettings) -> Vec<(String, Credential)> {
    let mut found = Vec::new();
    for account in &upstream.accounts {
        let (organization, project) = (account.organization.as_deref(), account.project.as_deref());
        for key in &account.keys {
            // The configuration has let through only what fits into a header.
            let Some(authorization) = Authorization::ours(&key.secret, organization, project)
            else {
                continue;
            };
            let credential = Credential { label: key.label.clone(), authorization };
            found.push((account.name.to_string(), credential));
        }
    }
    if found.is_empty() {
        let label = KeyLabel::new("without a key");
        let authorization = Authorization::Client;
        found.push((upstream.name.to_string(), Credential { label, authorization }));
    }
    found
}

/// Lists the trials in columns.
pub(super) fn listing(trials: &[Trial]) -> String {
    let mut text = "\n".to_owned();
    let widest = |column: fn(&Trial) -> &str| {
        trials.iter().map(|trial| column(trial).len()).max().unwrap_or(0)
    };
    let (accounts, keys) = (widest(|trial| &trial.account), widest(|trial| trial.key.as_str()));
    for trial in trials {
        let (account, key) = (&trial.account, trial.key.as_str());
        // Writing to a text cannot fail.
        writeln!(text, "{account:accounts$}  {key:keys$}  {}", trial.words()).unwrap_or_default();
    }
    text
}

fn unreachable_words(error: &SendError) -> String {
    let mut words = format!("unreachable: {error}");
    let mut cause = error.source();
    while let Some(this) = cause {
        let text = this.to_string();
        if !words.contains(&text) {
            write!(words, ": {text}").unwrap_or_default();
        }
        cause = this.source();
    }
    words
}

/// The longest wait for a list of models.
const PATIENCE: Duration = Duration::from_secs(30);
