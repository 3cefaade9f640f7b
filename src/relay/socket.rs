//! Joins the two ends of a websocket: bytes pass as they come, and are looked at behind that.

use std::io;
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::frames::Frames;
use super::renaming::{Rename, Renaming};
use crate::settle::Ending;

/// Passes bytes both ways until one side ends or `stop` is ready, and tells who ended it. Each text is
/// handed to the first of two when it has gone on to the provider, to the second when it has to the client. What
/// `rename` makes of a client's text goes on in its place.
///
/// # Cancel safety
///
/// Dropping the future breaks off both sides.
pub async fn join(
    (client, provider): (Upgraded, Upgraded),
    (from_client, from_provider): (impl FnMut(&[u8]), impl FnMut(&[u8])),
    rename: Option<Rename<'_>>,
    stop: impl Future<Output = ()>,
) -> Ended {
    let (client_in, client_out) = tokio::io::split(TokioIo::new(client));
    let (provider_in, provider_out) = tokio::io::split(TokioIo::new(provider));
    let (tell, told) = watch::channel(false);
    let reading =
        rename.map_or_else(Reading::plain, |rename| Reading::Changed(Renaming::new(rename)));
    let (from_client, from_provider) = ((reading, from_client), (Reading::plain(), from_provider));
    let up = pass((client_in, provider_out), from_client, (told.clone(), &TO_PROVIDER));
    let down = pass((provider_in, client_out), from_provider, (told, &TO_CLIENT));
    tokio::pin!(up, down);
    tokio::select! {
        over = &mut up => {
            // The other side says its last word, if it has one.
            let other = timeout(LAST_WORD, down).await.unwrap_or(Over::Gone);
            let unanswered = if over == Over::Deaf { Ending::UpstreamCut } else { Ending::ClientGone };
            Ended::of((over, other), unanswered)
        }
        over = &mut down => {
            let other = timeout(LAST_WORD, up).await.unwrap_or(Over::Gone);
            let unanswered = if over == Over::Deaf { Ending::ClientGone } else { Ending::UpstreamCut };
            Ended::of((over, other), unanswered)
        }
        () = stop => {
            tell.send_replace(true);
            let _said = timeout(FAREWELL, async { tokio::join!(up, down) }).await;
            Ended { socket: Ending::Stopped, unanswered: Ending::Stopped }
        }
    }
}

/// How a websocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The websocket itself.
    pub socket: Ending,
    /// What was asked on it and not answered.
    pub unanswered: Ending,
}

impl Ended {
    fn of(over: (Over, Over), unanswered: Ending) -> Self {
        let is_closed = over.0 == Over::Closed || over.1 == Over::Closed;
        Self { socket: if is_closed { Ending::Reported } else { unanswered }, unanswered }
    }
}

/// How one direction of a websocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Who spoke has closed the websocket.
    Closed,
    /// Who spoke has gone without a word.
    Gone,
    /// Who listened has gone.
    Deaf,
}

/// One direction of a websocket.
type Ends = (ReadHalf<TokioIo<Upgraded>>, WriteHalf<TokioIo<Upgraded>>);

/// How one direction is read.
enum Reading<'a> {
    /// Behind that it has gone on.
    Plain(Frames),
    /// Before, as it may be changed.
    Changed(Renaming<'a>),
}

impl Reading<'_> {
    fn plain() -> Self {
        Self::Plain(Frames::default())
    }

    fn is_between(&self) -> bool {
        match self {
            Self::Plain(frames) => frames.is_between(),
            Self::Changed(renaming) => renaming.is_between(),
        }
    }

    /// Returns how a direction ended whose speaker says no more.
    fn over(&self, otherwise: Over) -> Over {
        let is_closed = match self {
            Self::Plain(frames) => frames.is_closed(),
            Self::Changed(renaming) => renaming.is_closed(),
        };
        if is_closed { Over::Closed } else { otherwise }
    }

    /// Sends a piece on, and hands on what was said.
    async fn forward(
        &mut self,
        piece: &[u8],
        to: &mut WriteHalf<TokioIo<Upgraded>>,
        take: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match self {
            Self::Plain(frames) => {
                to.write_all(piece).await?;
                to.flush().await?;
                frames.read(piece, take);
            }
            Self::Changed(renaming) => {
                let out = renaming.feed(piece);
                to.write_all(&out).await?;
                to.flush().await?;
                renaming.said().iter().for_each(|text| take(text));
            }
        }
        Ok(())
    }
}

async fn pass(
    (mut from, mut to): Ends,
    (mut reading, mut take): (Reading<'_>, impl FnMut(&[u8])),
    (mut stopped, farewell): (watch::Receiver<bool>, &'static [u8]),
) -> Over {
    let mut buffer = vec![0; PIECE];
    loop {
        let size = tokio::select! {
            biased;
            () = told(&mut stopped) => {
                // In the middle of a frame it would be a part of that.
                if reading.is_between() {
                    let _deaf = to.write_all(farewell).await;
                }
                let _deaf = to.shutdown().await;
                return Over::Gone;
            }
            size = from.read(&mut buffer) => size.unwrap_or(0),
        };
        let piece = buffer.get(..size).unwrap_or_default();
        if piece.is_empty() {
            if let Reading::Changed(renaming) = &mut reading {
                let _deaf = to.write_all(&renaming.finish()).await;
            }
            let _deaf = to.shutdown().await;
            return reading.over(Over::Gone);
        }
        if reading.forward(piece, &mut to, &mut take).await.is_err() {
            return reading.over(Over::Deaf);
        }
    }
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    // Who tells lives as long as both directions.
    let _stopped = stopped.wait_for(|stopped| *stopped).await;
}

/// A frame that closes with 1001, "going away" (RFC 6455 sections 5.5.1 and 7.4.1, read 2026-11-22).
const TO_CLIENT: [u8; 4] = [0x88, 2, 0x03, 0xe9];
/// The same behind the mask that clients have to use.
const TO_PROVIDER: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// How much is read at a time.
const PIECE: usize = 16 * 1024;
/// How long one side may go on when the other has ended.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How long telling both sides of the end may take.
const FAREWELL: Duration = Duration::from_millis(500);
