//! What keeps a key or an account from serving, for people: what it is, and what the provider said of it.
//!
//! # What this module owns
//!
//! [`Trouble`], and when it is worth telling: once when it begins and once when it is over, not for each
//! request that meets it.
//!
//! # What this module does not do
//!
//! It decides nothing: whether a key or an account is used is its health's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::classify::{Finding, Verdict};
use super::credential::{Authorization, Credential};
use super::fleet::{AccountId, Fleet};
use super::health::Health;
use crate::units::{AccountName, KeyLabel, UpstreamName};

/// What is wrong with a key or an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ail {
    /// The provider does not accept the key.
    KeyRefused,
    /// The account has no money or quota left.
    NoQuota,
    /// No answer comes.
    Unreachable,
    /// It answers that it failed.
    Failing,
    /// It has too much to do, or wants to be asked less.
    Overloaded,
}

/// What is wrong, and what was said of it. Cloning it copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub ail: Ail,
    /// What the provider, or the connection, said; no key stands in it. May be empty.
    pub said: Arc<str>,
}

/// Something that began or ended, to be told to people once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nobody hears of it otherwise"]
pub struct News {
    upstream: UpstreamName,
    /// The account; `None` where clients bring their own keys.
    account: Option<AccountName>,
    /// The label of the key, where it is not the whole account.
    key: Option<KeyLabel>,
    /// `None` where it is over.
    trouble: Option<Trouble>,
}

/// How an account and its keys are doing.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The account.
    pub account: AccountName,
    /// What keeps the account from serving.
    pub trouble: Option<Trouble>,
    /// Its keys, and what is wrong with each.
    pub keys: Vec<KeyCondition>,
}

/// The label of a key, and what is wrong with it.
pub type KeyCondition = (KeyLabel, Option<Trouble>);

impl Ail {
    /// Returns its name in `/line`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::KeyRefused => "key_refused",
            Self::NoQuota => "no_quota",
            Self::Unreachable => "unreachable",
            Self::Failing => "failing",
            Self::Overloaded => "overloaded",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::KeyRefused => "the provider refuses its key",
            Self::NoQuota => "it has no quota or money left",
            Self::Unreachable => "the provider cannot be reached",
            Self::Failing => "the provider fails",
            Self::Overloaded => "the provider has too much to do",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ail.words())?;
        if self.said.is_empty() { Ok(()) } else { write!(f, ": {}", self.said) }
    }
}

impl Trouble {
    /// Creates one out of what became of a request that was sent with `credential`.
    pub(super) fn of(finding: &Finding, credential: Option<&Credential>) -> Self {
        let ail = match finding.verdict {
            Verdict::KeyRejected => Ail::KeyRefused,
            Verdict::OutOfQuota => Ail::NoQuota,
            Verdict::Unreachable => Ail::Unreachable,
            Verdict::SlowDown | Verdict::Overloaded => Ail::Overloaded,
            _ => Ail::Failing,
        };
        let said = finding.said.as_deref().map(|said| without_keys(said, credential));
        Self { ail, said: said.unwrap_or_default().into() }
    }
}

impl News {
    /// Writes it to the log.
    pub fn tell(&self) {
        let (upstream, what) = (&self.upstream, if self.key.is_some() { "key" } else { "account" });
        let account = self.account.as_ref().map(tracing::field::display);
        let key = self.key.as_ref().map(tracing::field::display);
        match &self.trouble {
            None => tracing::info!(%upstream, account, key, "the {what} can be used again"),
            Some(trouble) => {
                let (state, said) = (trouble.ail.label(), &*trouble.said);
                tracing::warn!(%upstream, account, key, state, said, "{}", trouble.ail.words());
            }
        }
    }
}

/// The trouble of one key or account, and what of it was told.
#[derive(Debug, Default)]
pub(super) struct Note {
    trouble: Option<Trouble>,
    is_told: bool,
    told_at: Option<Instant>,
}

impl Note {
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Notes that it has `trouble`; tells whether that is new to people.
    fn begin(&mut self, trouble: Trouble, now: Instant) -> bool {
        let is_known = self.trouble.replace(trouble).is_some();
        let is_fresh = self.told_at.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if is_known || is_fresh {
            return false;
        }
        (self.is_told, self.told_at) = (true, Some(now));
        true
    }

    /// Notes that it has none; tells whether people think otherwise.
    fn end(&mut self) -> bool {
        self.trouble.take().is_some() && std::mem::take(&mut self.is_told)
    }
}

impl Fleet {
    /// Takes what happened since and is to be told.
    pub fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Returns how each configured account is doing, in the order of the configuration.
    pub fn conditions(&self) -> Vec<Condition> {
        let keys = |id: AccountId| {
            let own = self.keys.iter().filter(move |key| key.home == id);
            own.map(|key| (key.credential.label.clone(), key.note.trouble().cloned())).collect()
        };
        let conditions = self.accounts.iter().map(|account| Condition {
            account: account.name.clone(),
            trouble: self.trouble(account.id),
            keys: keys(account.id),
        });
        conditions.collect()
    }

    /// Returns what keeps `account` from serving: its own trouble, else that of its keys where none is
    /// without.
    pub fn trouble(&self, account: AccountId) -> Option<Trouble> {
        if let Some(trouble) = self.account(account).and_then(|own| own.trouble()) {
            return Some(trouble.clone());
        }
        let mut keys = self.keys.iter().filter(|key| key.account == account);
        let first = keys.next()?.note.trouble()?;
        keys.all(|key| key.note.trouble().is_some()).then(|| first.clone())
    }

    /// Tells whether a request that came now could be served, as far as is known: true where clients bring
    /// their own keys, unless nothing answers.
    ///
    /// Who failed counts as able to serve when its rest is over, but a key that was refused and what could
    /// not be reached only when a probe or a request showed it.
    pub fn can_serve(&self, now: Instant) -> bool {
        if self.is_clients_own() {
            // Nothing is probed without a key.
            return self.reach.trouble().is_none() || is_rested(&self.reached, now);
        }
        self.keys.iter().filter(|key| key.note.trouble().is_none()).any(|key| {
            self.account(key.account).is_some_and(|own| {
                may_be_tried(&own.quota_note, &own.quota, now)
                    && may_be_tried(&own.service_note, &own.service, now)
            })
        })
    }

    /// Notes the trouble of a key, or of an account in one respect.
    pub(super) fn begin(&mut self, at: Place, trouble: Trouble, now: Instant) {
        if self.note(at).is_some_and(|note| note.begin(trouble.clone(), now)) {
            self.announce(at, Some(trouble));
        }
    }

    /// Notes that this trouble is over.
    pub(super) fn end(&mut self, at: Place) {
        if self.note(at).is_some_and(Note::end) {
            self.announce(at, None);
        }
    }

    fn note(&mut self, at: Place) -> Option<&mut Note> {
        match at {
            Place::Key(key) => self.key_mut(key).map(|key| &mut key.note),
            Place::Quota(account) => self.account_mut(account).map(|own| &mut own.quota_note),
            Place::Service(account) => self.account_mut(account).map(|own| &mut own.service_note),
            Place::Guests => Some(&mut self.reach),
        }
    }

    fn announce(&mut self, at: Place, trouble: Option<Trouble>) {
        let (account, key) = match at {
            Place::Key(key) => {
                let key = self.key(key);
                let label = key.map(|key| key.credential.label.clone());
                (key.and_then(|key| self.name(key.home)), label)
            }
            Place::Quota(account) | Place::Service(account) => (self.name(account), None),
            Place::Guests => (None, None),
        };
        self.news.push(News { upstream: self.upstream.clone(), account, key, trouble });
    }
}

/// What may be in trouble.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Key(super::fleet::KeyId),
    Quota(AccountId),
    Service(AccountId),
    /// The upstream of clients that bring their own keys.
    Guests,
}

/// Tells whether a request may find in order what had that trouble.
fn may_be_tried(note: &Note, health: &Health, now: Instant) -> bool {
    match note.trouble().map(|trouble| trouble.ail) {
        None | Some(Ail::Overloaded) => true,
        Some(Ail::KeyRefused | Ail::Unreachable) => false,
        Some(Ail::NoQuota | Ail::Failing) => is_rested(health, now),
    }
}

fn is_rested(health: &Health, now: Instant) -> bool {
    health.probe_at().is_some_and(|at| at <= now)
}

/// Returns what was said in one line, short, and without the key or what of it a provider repeats.
fn without_keys(said: &str, credential: Option<&Credential>) -> String {
    let mut said = said.to_owned();
    if let Some(Authorization::Ours { key, .. }) = credential.map(|known| &known.authorization)
        && let Ok(secret) = key.bare.to_str()
        && !secret.is_empty()
    {
        said = said.replace(secret, MASK);
    }
    let words = said.split_whitespace();
    // OpenAI repeats the key's first and last letters around asterisks.
    let words = words.map(|word| if word.contains("**") { masked(word) } else { word.to_owned() });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(MOST_SAID).collect()
}

/// Returns what stands for a word that is a part of a key, with what may end its sentence.
fn masked(word: &str) -> String {
    let bare = word.trim_end_matches(['.', ',', ';', ':', '\'', '"', ')']);
    format!("{MASK}{}", word.strip_prefix(bare).unwrap_or_default())
}

/// What stands for a key.
const MASK: &str = "***";
/// The most characters of an error's message that people are shown.
const MOST_SAID: usize = 300;
/// What comes and goes is told at most so often.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Secret;

    #[test]
    fn neither_a_key_nor_a_part_of_it_is_told() {
        let authorization = Authorization::ours(&Secret::new("sk-secret-1"), None, None);
        let authorization = authorization.expect("fits into a header");
        let credential = Credential { label: KeyLabel::new("main"), authorization };
        let told = |said: &str| {
            let finding = Finding { said: Some(said.into()), ..Finding::of(Verdict::KeyRejected) };
            Trouble::of(&finding, Some(&credential)).to_string()
        };
        assert_eq!(
            told("Incorrect API key provided: sk-secret-1. See\nthe page."),
            "the provider refuses its key: Incorrect API key provided: ***. See the page."
        );
        assert_eq!(
            told("Incorrect API key provided: sk-se*****t-1. See the page."),
            "the provider refuses its key: Incorrect API key provided: ***. See the page."
        );
    }

    #[test]
    fn what_comes_and_goes_is_told_once_a_minute() {
        let start = Instant::now();
        let trouble = || Trouble::of(&Finding::of(Verdict::ServerError), None);
        let mut note = Note::default();
        assert!(note.begin(trouble(), start), "it is new");
        assert!(!note.begin(trouble(), start), "it is known");
        assert!(note.end(), "its end is told as well");
        assert!(!note.end(), "once");
        let soon = start + Duration::from_secs(30);
        assert!(!note.begin(trouble(), soon), "again so soon");
        assert!(!note.end(), "what nobody heard of has no end to be told");
        assert!(note.begin(trouble(), start + Duration::from_secs(60)));
    }
}
