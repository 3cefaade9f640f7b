//! What an answer means for the key it was sent with and for that key's account.
//!
//! Verdicts come from requests ([`Fleet::report`]) and from probes ([`Fleet::probed`]). A rejected
//! key comes back by a probe; an account without quota or one that fails, by a trial: listing models
//! succeeds without quota, so only a real request can tell.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

use super::classify::{Finding, Verdict};
use super::credential::Credential;
use super::fleet::{Account, AccountId, Change, Fleet, Identity, KeyId, Lent};
use super::health::Schedule;
use super::request::{ORGANIZATION, PROJECT};
use super::trouble::{Ail, Place, Trouble};

/// For what is out until somebody acts: a revoked key, an empty account.
const OUTAGE: Schedule =
    Schedule { first: Duration::from_secs(30), longest: Duration::from_secs(600) };
/// For a provider that fails or asks to be spared.
const FAILURE: Schedule =
    Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
/// Failures in a row after which an account rests: of a server, while another account is there.
const FAILURES_TO_REST: u32 = 3;
/// The longest rest that a provider's `retry-after` brings about.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What a report says, when it comes, and the randomness for its jitter.
#[derive(Debug, Clone, Copy)]
struct Moment<'r> {
    finding: &'r Finding,
    /// What the request was sent with.
    credential: Option<&'r Credential>,
    begun: Instant,
    now: Instant,
    jitter: f64,
}

impl Fleet {
    /// Notes what became of a request; `jitter` is random in 0..1. The key stays lent.
    ///
    /// What was lent before the key or account changed last does not speak of its present state, so
    /// that requests which fail together count once; each of them is told what became of its key.
    pub fn report(&mut self, lent: &Lent, finding: &Finding, now: Instant, jitter: f64) -> Change {
        let at =
            Moment { finding, credential: Some(lent.credential()), begun: lent.at(), now, jitter };
        let Some(id) = self.key(lent.key()).map(|key| key.account) else {
            if !lent.account().is_ours() {
                self.guest_fared(at);
            }
            return of_one_gone(lent, finding.verdict);
        };
        let change = match finding.verdict {
            Verdict::KeyRejected => self.key_failed(lent.key(), at),
            Verdict::OutOfQuota => self.quota_failed(id, at),
            Verdict::SlowDown => self.spare(id, finding.retry_after.unwrap_or_default(), at),
            Verdict::Overloaded => match finding.retry_after {
                Some(wanted) => self.spare(id, wanted, at),
                None => self.overloaded(id, at),
            },
            Verdict::ServerError | Verdict::Unreachable => self.service_failed(id, at),
            Verdict::Fine
            | Verdict::Accepted
            | Verdict::RateLimited
            | Verdict::TooLarge
            | Verdict::NoSuchModel
            | Verdict::BadRequest => Change::Unchanged,
        };
        match self.note_successes(lent.key(), id, finding.verdict, at) {
            Change::Unchanged => change,
            back if change == Change::Unchanged => back,
            _ => change,
        }
    }

    /// Notes what a probe of `key` said; `jitter` is random in 0..1.
    pub fn probed(&mut self, key: KeyId, finding: &Finding, now: Instant, jitter: f64) -> Change {
        let Some(probed) = self.key_mut(key) else { return Change::Unchanged };
        probed.is_probed = false;
        let (credential, account) = (probed.credential.clone(), probed.account);
        let at = Moment { finding, credential: Some(&credential), begun: now, now, jitter };
        let reached = self.reached_again(account, at);
        let Some(probed) = self.key_mut(key).filter(|key| !key.health.is_ready()) else {
            return reached;
        };
        match finding.verdict {
            Verdict::KeyRejected => self.key_failed(key, at),
            Verdict::Overloaded | Verdict::ServerError | Verdict::Unreachable => {
                let again = now + OUTAGE.rest(1, jitter);
                if probed.health.is_in() {
                    probed.health.doubt(again, now);
                } else {
                    probed.health.rest(again, now);
                }
                Change::Unchanged
            }
            _ => {
                probed.health.readmit(now);
                self.end(Place::Key(key));
                Change::Back(account)
            }
        }
    }

    /// Notes the organisation and project that an answer of `key` names. Accounts that turn out to
    /// be the same one are merged: they draw from the same quotas.
    pub fn observe(&mut self, key: KeyId, answer: &HeaderMap) -> Change {
        let text = |name: HeaderName| answer.get(name).and_then(|value| value.to_str().ok());
        let Some(organization) = text(ORGANIZATION).filter(|text| !text.is_empty()) else {
            return Change::Unchanged;
        };
        let project = text(PROJECT);
        let Some(id) = self.key(key).map(|key| key.account) else { return Change::Unchanged };
        let Some(account) = self.account_mut(id) else { return Change::Unchanged };
        if account.is_seen_as(organization, project) {
            return Change::Unchanged;
        }
        account.seen_as = Some(Identity {
            organization: organization.to_owned(),
            project: project.map(ToOwned::to_owned),
        });
        if project.is_none() && account.has_project() {
            return Change::Unchanged;
        }
        let same = self.accounts().into_iter().find(|&other| {
            other != id
                && self.has_keys(other)
                && self.account(other).is_some_and(|other| {
                    other.is_seen_as(organization, project)
                        && (project.is_some() || !other.has_project())
                })
        });
        same.map_or(Change::Unchanged, |same| self.merge(id.max(same), id.min(same)))
    }

    fn merge(&mut self, from: AccountId, into: AccountId) -> Change {
        for account in &mut self.accounts {
            if account.id == from || account.merged_into == Some(from) {
                account.merged_into = Some(into);
            }
        }
        self.assign_keys();
        self.affinity.merge(from, into);
        Change::Merged { from, into }
    }

    /// Notes what a verdict shows to be in order.
    fn note_successes(
        &mut self,
        key: KeyId,
        id: AccountId,
        verdict: Verdict,
        at: Moment<'_>,
    ) -> Change {
        let accepts_key = matches!(
            verdict,
            Verdict::Fine
                | Verdict::Accepted
                | Verdict::RateLimited
                | Verdict::TooLarge
                | Verdict::OutOfQuota
        );
        let serves = !matches!(
            verdict,
            Verdict::SlowDown | Verdict::Overloaded | Verdict::ServerError | Verdict::Unreachable
        );
        let mut is_back = false;
        if accepts_key && let Some(key) = self.key_mut(key) {
            is_back |= key.health.succeed(at.begun, at.now);
        }
        if let Some(account) = self.account_mut(id) {
            if serves {
                is_back |= account.service.succeed(at.begun, at.now);
            }
            match verdict {
                Verdict::Fine => is_back |= account.quota.succeed(at.begun, at.now),
                Verdict::OutOfQuota => {}
                _ => account.quota.abandon(at.begun, at.now),
            }
        }
        if is_back {
            self.end_what_is_over(key, id);
        }
        if is_back { Change::Back(id) } else { Change::Unchanged }
    }

    /// Notes the end of what a success showed to be over.
    fn end_what_is_over(&mut self, key: KeyId, id: AccountId) {
        if self.key(key).is_some_and(|key| key.health.is_ready()) {
            self.end(Place::Key(key));
        }
        let over = self.account(id).map(|own| (own.quota.is_ready(), own.service.is_ready()));
        let (has_quota, serves) = over.unwrap_or_default();
        if has_quota {
            self.end(Place::Quota(id));
        }
        if serves {
            self.end(Place::Service(id));
        }
    }

    /// Notes of the upstream of clients' own keys whether it answers. They are used on in any case.
    fn guest_fared(&mut self, at: Moment<'_>) {
        if at.finding.verdict != Verdict::Unreachable {
            self.reached.succeed(at.begun, at.now);
            return self.end(Place::Guests);
        }
        let Some(failures) = self.reached.count_failure(at.begun) else { return };
        if failures >= FAILURES_TO_REST {
            self.reached.doubt(at.now + OUTAGE.rest(1, at.jitter), at.now);
            self.begin(Place::Guests, at.trouble(), at.now);
        }
    }

    /// Deals with a probe of an account that could not be reached.
    fn reached_again(&mut self, id: AccountId, at: Moment<'_>) -> Change {
        let Some(own) = self.account_mut(id).filter(|own| own.is_to_be_reached(at.now)) else {
            return Change::Unchanged;
        };
        if at.finding.verdict == Verdict::Unreachable {
            return self.service_failed(id, at);
        }
        own.service.readmit(at.now);
        self.end(Place::Service(id));
        Change::Back(id)
    }

    fn key_failed(&mut self, id: KeyId, at: Moment<'_>) -> Change {
        let is_last = !self.has_other_key(id);
        let Some(key) = self.key_mut(id) else { return Change::Unchanged };
        let Some(failures) = key.health.count_failure(at.begun) else {
            return if is_last { Change::LastUsable } else { Change::KeyOut(id) };
        };
        let until = at.now + OUTAGE.rest(failures, at.jitter);
        let stays = is_last && key.health.is_in();
        if stays {
            key.health.doubt(until, at.now);
        } else {
            key.health.rest(until, at.now);
        }
        self.begin(Place::Key(id), at.trouble(), at.now);
        if stays { Change::LastUsable } else { Change::KeyOut(id) }
    }

    fn quota_failed(&mut self, id: AccountId, at: Moment<'_>) -> Change {
        let is_last = !self.has_other_account(id, |_| true);
        let Some(account) = self.account_mut(id) else { return Change::Unchanged };
        let Some(failures) = account.quota.count_failure(at.begun) else {
            return if is_last { Change::LastUsable } else { Change::AccountOut(id) };
        };
        let until = at.now + OUTAGE.rest(failures, at.jitter);
        let stays = is_last && account.quota.is_in();
        if stays {
            account.quota.doubt(until, at.now);
        } else {
            account.quota.rest(until, at.now);
        }
        self.begin(Place::Quota(id), at.trouble(), at.now);
        if stays { Change::LastUsable } else { Change::AccountOut(id) }
    }

    /// Lets an account rest that asked for it, whether or not there is another.
    fn spare(&mut self, id: AccountId, wanted: Duration, at: Moment<'_>) -> Change {
        let Some(account) = self.account_mut(id) else { return Change::Unchanged };
        let Some(failures) = account.service.count_failure(at.begun) else {
            return Change::Unchanged;
        };
        let change = account.rest(id, failures, wanted.min(LONGEST_REST), at);
        self.begin(Place::Service(id), at.trouble(), at.now);
        change
    }

    /// Lets an account rest that has too much to do, whether or not there is another: after several
    /// failures in a row, for a provider may say so of one request in a hundred on a good day.
    fn overloaded(&mut self, id: AccountId, at: Moment<'_>) -> Change {
        let Some(account) = self.account_mut(id) else { return Change::Unchanged };
        let Some(over) = account.over(at) else { return Change::Unchanged };
        let change = account.rest(id, over, Duration::ZERO, at);
        self.begin(Place::Service(id), at.trouble(), at.now);
        change
    }

    /// Lets an account rest after several failures in a row, if there is another one that works.
    fn service_failed(&mut self, id: AccountId, at: Moment<'_>) -> Change {
        let is_last = !self.has_other_account(id, |other| other.service.is_ready());
        let Some(account) = self.account_mut(id) else { return Change::Unchanged };
        let Some(over) = account.over(at) else { return Change::Unchanged };
        let change = if is_last {
            account.service.doubt(at.now + FAILURE.rest(over, at.jitter), at.now);
            Change::LastUsable
        } else {
            account.rest(id, over, Duration::ZERO, at)
        };
        self.begin(Place::Service(id), at.trouble(), at.now);
        change
    }

    fn has_other_key(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| {
            key.id != id
                && key.health.is_in()
                && self.account(key.account).is_some_and(|account| account.quota.is_in())
        })
    }

    fn has_other_account(&self, id: AccountId, works: impl Fn(&Account) -> bool) -> bool {
        self.keys.iter().any(|key| {
            key.account != id
                && key.health.is_in()
                && self
                    .account(key.account)
                    .is_some_and(|account| account.quota.is_in() && works(account))
        })
    }

    fn has_keys(&self, id: AccountId) -> bool {
        self.keys.iter().any(|key| key.account == id)
    }
}

/// Returns what an answer means that a key got which the configuration names no more: nothing for those
/// that are there, but they can serve what it could not.
fn of_one_gone(lent: &Lent, verdict: Verdict) -> Change {
    match verdict {
        _ if !lent.account().is_ours() => Change::Unchanged,
        Verdict::KeyRejected => Change::KeyOut(lent.key()),
        Verdict::OutOfQuota => Change::AccountOut(lent.account()),
        _ => Change::Unchanged,
    }
}

impl Moment<'_> {
    /// Returns the trouble that it tells of.
    fn trouble(&self) -> Trouble {
        Trouble::of(self.finding, self.credential)
    }
}

impl Account {
    /// Counts a failure of its service; returns by how many they are more than it may have in a row,
    /// `None` if they are not.
    fn over(&mut self, at: Moment<'_>) -> Option<u32> {
        let failures = self.service.count_failure(at.begun)?;
        let over = failures.saturating_sub(FAILURES_TO_REST - 1);
        (over > 0 || !self.service.is_in()).then_some(over.max(1))
    }

    pub(super) fn is_unreachable(&self) -> bool {
        self.service_note.trouble().is_some_and(|trouble| trouble.ail == Ail::Unreachable)
    }

    /// Tells whether a probe is to show that it can be reached.
    fn is_to_be_reached(&self, now: Instant) -> bool {
        self.is_unreachable() && self.service.probe_at().is_some_and(|at| at <= now)
    }

    /// Lets it rest after so many failures, at least for `least`.
    fn rest(&mut self, id: AccountId, failures: u32, least: Duration, at: Moment<'_>) -> Change {
        let until = at.now + FAILURE.rest(failures, at.jitter).max(least);
        self.service.rest(until, at.now);
        Change::Resting { account: id, until }
    }

    fn is_seen_as(&self, organization: &str, project: Option<&str>) -> bool {
        self.seen_as.as_ref().is_some_and(|seen| {
            seen.organization == organization && seen.project.as_deref() == project
        })
    }
}
