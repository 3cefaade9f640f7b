//! Names as types of their own, so that an account is never passed where a model is meant.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A name of one kind; cloning it copies a pointer.
///
/// `Kind` is a marker: two names of different kinds are different types.
pub struct Name<Kind> {
    text: Arc<str>,
    kind: PhantomData<Kind>,
}

/// The name of an account: an organisation or project that owns quotas.
pub type AccountName = Name<kind::Account>;
/// The name of an app: a program that sends requests through the proxy.
pub type AppName = Name<kind::App>;
/// The label of an upstream key, fit to be shown: never the key itself.
pub type KeyLabel = Name<kind::Key>;
/// The name of a model, as the client wrote it.
pub type ModelName = Name<kind::Model>;
/// The name of a service tier, as the provider writes it.
pub type TierName = Name<kind::Tier>;
/// The name of an upstream: a provider as configured.
pub type UpstreamName = Name<kind::Upstream>;
/// The id which the proxy gives a request, in answers and in logs.
pub type RequestId = Name<kind::Request>;

/// Markers that keep the kinds of [`Name`] apart.
pub mod kind {
    /// Marks [`AccountName`](super::AccountName).
    #[derive(Debug)]
    pub enum Account {}
    /// Marks [`AppName`](super::AppName).
    #[derive(Debug)]
    pub enum App {}
    /// Marks [`KeyLabel`](super::KeyLabel).
    #[derive(Debug)]
    pub enum Key {}
    /// Marks [`ModelName`](super::ModelName).
    #[derive(Debug)]
    pub enum Model {}
    /// Marks [`RequestId`](super::RequestId).
    #[derive(Debug)]
    pub enum Request {}
    /// Marks [`TierName`](super::TierName).
    #[derive(Debug)]
    pub enum Tier {}
    /// Marks [`UpstreamName`](super::UpstreamName).
    #[derive(Debug)]
    pub enum Upstream {}
}

impl<Kind> Name<Kind> {
    /// Creates a name from its text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), kind: PhantomData }
    }

    /// Returns the text of the name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl RequestId {
    /// Makes an id at `now` (time since 1970-01-01 UTC), of which `random` tells it from others of that
    /// millisecond.
    pub fn made(now: Duration, random: u64) -> Self {
        let millis = u64::try_from(now.as_millis() & 0xfff_ffff_ffff).unwrap_or_default();
        let mut text = *b"sg_000000000000000000000";
        for (number, digits) in [(millis, 3..14), (random >> 24, 14..24)] {
            let places = text.get_mut(digits).unwrap_or_default();
            let mut rest = number;
            for place in places.iter_mut().rev() {
                let digit = usize::try_from(rest & 0xf).ok().and_then(|digit| HEX.get(digit));
                *place = digit.copied().unwrap_or(b'0');
                rest >>= 4;
            }
        }
        Self::new(str::from_utf8(&text).unwrap_or_default())
    }

    /// Returns when an id of this form was made (time since 1970-01-01 UTC); `None` for any other text.
    pub fn made_at(text: &str) -> Option<Duration> {
        let digits = text.strip_prefix("sg_").filter(|digits| digits.len() == 21)?;
        u64::from_str_radix(digits.get(10..)?, 16).ok()?;
        u64::from_str_radix(digits.get(..11)?, 16).ok().map(Duration::from_millis)
    }
}

/// Ids are made for each request: `format!` would take ten times longer.
const HEX: &[u8; 16] = b"0123456789abcdef";

impl<Kind> Clone for Name<Kind> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), kind: PhantomData }
    }
}

impl<Kind> PartialEq for Name<Kind> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<Kind> Eq for Name<Kind> {}

impl<Kind> PartialOrd for Name<Kind> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<Kind> Ord for Name<Kind> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<Kind> Hash for Name<Kind> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<Kind> Borrow<str> for Name<Kind> {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl<Kind> fmt::Debug for Name<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl<Kind> fmt::Display for Name<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<Kind> From<&str> for Name<Kind> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_request_tells_when_it_was_made() {
        let now = Duration::from_millis(1_795_379_025_123);
        let id = RequestId::made(now, u64::MAX);
        assert_eq!(id.as_str(), "sg_1a204edd4e3ffffffffff");
        assert_eq!(RequestId::made_at(id.as_str()), Some(now));
        for other in
            ["sg_0123456789abcdef", "req_1a204edd4e3ffffffffff", "sg_1a204edd4e3fffffffffé", ""]
        {
            assert_eq!(RequestId::made_at(other), None, "{other}");
        }
    }
}
