//! Notes the ids that an answer shows, for the account that gave it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::call::IdScan;
use crate::ledger::{Pin, Pins, Term};
use crate::packing::{Coding, Unpacker};
use crate::units::{AccountName, UpstreamName};
use crate::upstream::Answer;

/// An answer, and what looks at it on its way.
#[derive(Debug)]
pub struct Watched {
    pub(super) answer: Answer,
    pub(super) pinner: Option<Box<Pinner>>,
}

impl Watched {
    /// Lets `pinner`, if there is one, see the answer.
    pub fn new(answer: Answer, pinner: Option<Pinner>) -> Self {
        Self { answer, pinner: pinner.map(Box::new) }
    }
}

impl From<Answer> for Watched {
    fn from(answer: Answer) -> Self {
        Self::new(answer, None)
    }
}

/// Whose what is noted is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The upstream.
    pub upstream: UpstreamName,
    /// Its account.
    pub account: AccountName,
    /// How long it is remembered.
    pub term: Term,
    /// The time of the answer since 1970-01-01 UTC.
    pub at: Duration,
}

/// Notes ids before their bytes go on to the client; it holds up none of them.
#[derive(Debug)]
pub struct Pinner {
    pins: Pins,
    upstream: Arc<str>,
    account: Arc<str>,
    term: Term,
    at: Duration,
    scan: IdScan,
    unpacker: Option<Unpacker>,
    /// How much more is looked at.
    room: usize,
}

impl Pinner {
    /// Creates one for an answer of `owner`, packed as `coding` says.
    pub fn new(pins: Pins, owner: &Owner, coding: Option<Coding>) -> Self {
        Self {
            pins,
            upstream: owner.upstream.as_str().into(),
            account: owner.account.as_str().into(),
            term: owner.term,
            at: owner.at,
            scan: IdScan::of_answer(),
            unpacker: coding.map(Unpacker::new),
            room: MOST_LOOKED_AT,
        }
    }

    /// Takes the next piece of the answer, as it came.
    pub(super) fn feed(&mut self, piece: &Bytes) {
        if self.room == 0 {
            return;
        }
        let plain = match &mut self.unpacker {
            None => piece.clone(),
            Some(unpacker) => match unpacker.feed(piece, self.room) {
                Ok(plain) => plain,
                // It is the client's to read, or there is no end of it.
                Err(_) => return self.room = 0,
            },
        };
        self.room = self.room.saturating_sub(plain.len());
        let Self { pins, upstream, account, term, at, scan, .. } = self;
        scan.feed(&plain, |id| {
            pins.note(Pin {
                upstream: Arc::clone(upstream),
                id: id.into(),
                account: Arc::clone(account),
                term: *term,
                used_at: *at,
            });
        });
    }
}

/// How much of an answer is looked at: thousands of objects in a list. The id of one object is at its
/// front.
const MOST_LOOKED_AT: usize = 4 << 20;
