//! Remembers what goes on to be made at the provider when its request is answered.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Ending, Unsettled};
use crate::count::Method;
use crate::units::{Receipt, UpstreamName};

/// What is awaited of answers that are still being made. Cloning it shares them.
#[derive(Debug, Clone)]
pub(super) struct Deferred {
    awaited: Arc<Mutex<Awaited>>,
}

type Awaited = LruCache<Key, Vec<oneshot::Sender<Receipt>>>;

/// The upstream, and what the answer is called there.
type Key = (UpstreamName, Box<str>);

/// So many are awaited; of more, those keep their estimate that were not asked for longest.
const MOST: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// How long one is awaited.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl Deferred {
    pub(super) fn new() -> Self {
        Self { awaited: Arc::new(Mutex::new(LruCache::new(MOST))) }
    }

    /// Forgets those who await nothing any more under `key`.
    fn forget(&self, key: &Key) {
        let mut awaited = self.awaited();
        if let Some(all) = awaited.peek_mut(key) {
            all.retain(|tell| !tell.is_closed());
            if all.is_empty() {
                awaited.pop(key);
            }
        }
    }

    fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsettled {
    /// Leaves the request open, because what it asked for is still being made at the provider, where it is
    /// called `id`. It is settled by what is [told](Self::tell) of that; it keeps its estimate if that takes
    /// more than an hour, if the program stops, or if too many others are awaited. Of several that are part of the
    /// same, the first is settled by what all used, and the others by nothing.
    ///
    /// Must be called within a tokio runtime.
    pub fn defer(mut self, id: &str) {
        let Some(upstream) = self.record.upstream.clone() else {
            let _booked = self.keep(Ending::Untold);
            return;
        };
        self.head_leaves();
        let (tell, told) = oneshot::channel();
        let key = (upstream, Box::from(id));
        self.pass().deferred.awaited().get_or_insert_mut(key.clone(), Vec::new).push(tell);
        tokio::spawn(async move {
            let mut pass = self.pass().clone();
            let receipt = tokio::select! {
                // One that is put out by others is told nothing.
                receipt = told => receipt.ok(),
                () = pass.draining() => None,
                () = sleep(LONGEST) => None,
            };
            pass.deferred.forget(&key);
            match receipt {
                Some(receipt) => {
                    let _settled = self.settle(&receipt, Method::Exact, Ending::Reported);
                }
                None => {
                    let _booked = self.keep(Ending::Untold);
                }
            }
        });
    }

    /// Tells whether what is called `id` at this request's upstream is [awaited](Self::defer).
    pub fn awaits(&self, id: &str) -> bool {
        let upstream = self.record.upstream.clone();
        upstream.is_some_and(|upstream| {
            // A look keeps it from being put out.
            self.pass().deferred.awaited().get(&(upstream, id.into())).is_some()
        })
    }

    /// Tells what was used for what is called `id` at this request's upstream.
    pub fn tell(&self, id: &str, receipt: &Receipt) {
        let Some(upstream) = self.record.upstream.clone() else { return };
        let told = self.pass().deferred.awaited().pop(&(upstream, id.into()));
        let mut receipt = receipt.clone();
        for told in told.into_iter().flatten() {
            // Who waited may have given up.
            if told.send(receipt.clone()).is_ok() {
                receipt = Receipt::default();
            }
        }
    }
}
