//! Keeps the apps of a running program those of the store: looks now and then whether they have changed, and at once
//! when a command says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use super::recalling::recall_late;
use crate::config::{Additions, app_budget};
use crate::ledger::{KeptApps, Store, StoreError};
use crate::proxy::Proxy;

/// Follows the apps of a store.
#[derive(Debug)]
pub(super) struct Follower {
    store: Store,
    proxy: Proxy,
    /// The number of the apps that are served; held while they are read.
    version: Mutex<i64>,
}

/// The path on the admin listener by which a command says that apps have changed.
const CHANGED: &str = "/apps/changed";

/// What a command is told: which apps are served now.
#[derive(Serialize)]
struct Served {
    store: Option<String>,
    version: i64,
    /// Whether apps count: not where clients bring their own keys.
    count: bool,
}

/// Lets the proxy serve with the apps of the store.
pub(super) fn serve_with(proxy: &Proxy, kept: &KeptApps) {
    let mut added = Additions::default();
    for app in &kept.apps {
        added.apps.push(app.settings());
        let Some(lines) = app.terms.budget.as_deref().filter(|_| app.revoked_at.is_none()) else {
            continue;
        };
        match app_budget(&app.name, lines) {
            Ok(budget) => added.budgets.push(budget),
            // A newer program may have written it.
            Err(_) => {
                tracing::error!(app = %app.name, "the budget of an app cannot be read: it does not count");
            }
        }
    }
    proxy.renew_apps(added);
}

impl Follower {
    /// Begins to follow the apps of `store`, of which those of this `version` are served, until the program stops.
    pub(super) fn begin(
        store: &Store,
        proxy: &Proxy,
        version: i64,
        stopped: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let (store, proxy) = (store.clone(), proxy.clone());
        let follower = Arc::new(Self { store, proxy, version: Mutex::new(version) });
        tokio::spawn(Arc::clone(&follower).run(stopped));
        follower
    }

    /// Looks now and then, until the program stops: another machine, or a command that did not find this one, may
    /// have changed something.
    async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut fails = false;
        loop {
            tokio::select! {
                _stopped = stopped.wait_for(|stopped| *stopped) => return,
                () = sleep(APART) => {}
            }
            match self.look().await {
                Ok(_) => fails = false,
                Err(error) if !fails => {
                    fails = true;
                    tracing::warn!(%error, "it cannot be seen whether apps have changed: those that are known go on");
                }
                Err(_) => {}
            }
        }
    }

    /// Takes over what has changed, and returns the number of what is served then.
    async fn look(&self) -> Result<i64, StoreError> {
        let mut known = self.version.lock().await;
        if self.store.apps_version().await? != *known {
            let kept = self.store.apps().await?;
            serve_with(&self.proxy, &kept);
            *known = kept.version;
            tracing::info!(apps = kept.apps.len(), "the apps of the store are read again");
            let (store, proxy) = (self.store.clone(), self.proxy.clone());
            // Budgets may be new, and must know what was spent before them.
            if !proxy.purse().is_empty() {
                tokio::spawn(
                    async move { recall_late(&store, proxy.ledger(), proxy.purse()).await },
                );
            }
        }
        Ok(*known)
    }
}

/// Returns the answer to a request by which a command says that apps have changed; `None` for others.
pub(super) async fn answer<B>(
    follower: Option<Arc<Follower>>,
    request: &Request<B>,
) -> Option<Response<Full<Bytes>>> {
    if request.uri().path() != CHANGED || *request.method() != Method::POST {
        return None;
    }
    let served = match &follower {
        None => Ok(Served { store: None, version: 0, count: false }),
        Some(follower) => follower.look().await.map(|version| Served {
            store: Some(follower.store.identity()),
            version,
            count: follower.proxy.may_have_apps(),
        }),
    };
    let (status, body) = match served {
        // Plain numbers and texts cannot fail to be written.
        Ok(served) => (StatusCode::OK, serde_json::to_string(&served).unwrap_or_default()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(answer)
}

/// How long apart it is looked: so long a key that was revoked elsewhere still works.
const APART: Duration = Duration::from_secs(2);
