//! Takes forms: reads them until it is known what they ask for, and keeps what was read.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::{Failure, Proxy};
use crate::call::{Call, Endpoint, FormReader};
use crate::config::DataDir;
use crate::upstream::{Body, MOST_HELD, Spool};

/// A form that is understood, and its bytes.
#[derive(Debug)]
pub(super) struct Form {
    /// Its texts as a call.
    pub(super) call: Call,
    upload: Upload,
}

/// The bytes of a form, as they came.
#[derive(Debug)]
enum Upload {
    /// All of them, few enough to be kept and sent again.
    Whole(Bytes),
    /// What was read of them, and what still comes: sent once.
    Once(Box<Spool>, Option<Incoming>),
    /// They were sent.
    Spent,
}

impl Form {
    /// Returns how many bytes it holds in memory.
    pub(super) fn bytes_held(&self) -> usize {
        match &self.upload {
            Upload::Whole(bytes) => bytes.len(),
            Upload::Once(front, _) => front.held(),
            Upload::Spent => 0,
        }
    }

    /// Tells whether it can be sent, once more or for the first time.
    pub(super) const fn is_at_hand(&self) -> bool {
        !matches!(self.upload, Upload::Spent)
    }

    /// Returns the body to send.
    pub(super) fn body(&mut self) -> Body {
        if let Upload::Whole(bytes) = &self.upload {
            return Body::full(bytes.clone());
        }
        match std::mem::replace(&mut self.upload, Upload::Spent) {
            Upload::Once(front, rest) => Body::spooled(front, rest),
            Upload::Whole(_) | Upload::Spent => Body::empty(),
        }
    }
}

impl Proxy {
    /// Reads a form as far as is needed: a small one whole, a large one until its model is known.
    pub(super) async fn read_form(
        &self,
        endpoint: Endpoint,
        mut reader: FormReader,
        mut body: Incoming,
    ) -> Result<Form, Failure> {
        let (limit, patience, folder) = {
            let settings = &self.terms().settings;
            let folder = match &settings.data_dir {
                DataDir::Named(folder) | DataDir::Usual(folder) => folder.clone(),
                DataDir::Nowhere => std::env::temp_dir(),
            };
            (settings.server.max_body, settings.timeouts.client, folder)
        };
        let is_small = body.size_hint().upper().is_some_and(|size| size <= MOST_HELD as u64);
        let mut front = Spool::new(folder);
        let rest = loop {
            if reader.has_model() && !is_small && front.size() > ENOUGH {
                break Some(body);
            }
            let next = timeout(patience, body.frame()).await;
            let Some(frame) = next.map_err(|_| Failure::BodyTooSlow)? else { break None };
            let Ok(data) = frame.map_err(Failure::Body)?.into_data() else { continue };
            if front.size() + data.len() as u64 > limit as u64 {
                return Err(Failure::ModelTooFar { limit });
            }
            reader.feed(&data)?;
            front.push(data).await.map_err(Failure::Disk)?;
        };
        let unread = rest.as_ref().map_or(0, |rest| rest.size_hint().lower());
        let call = reader.call(endpoint, unread)?;
        let upload = match (front.whole(), rest) {
            (Some(bytes), None) => Upload::Whole(bytes),
            (_, rest) => {
                front.rewind().await.map_err(Failure::Disk)?;
                Upload::Once(Box::new(front), rest)
            }
        };
        Ok(Form { call, upload })
    }
}

/// How much of a large form is read at least, for texts that stand behind its model.
const ENOUGH: u64 = MOST_HELD as u64 / 2;
