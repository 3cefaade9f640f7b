//! Joins the two ends of a websocket: bytes pass as they come, and are looked at behind that.

use std::io;
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::frames::Frames;
use crate::settle::Ending;

/// Passes bytes both ways until one side ends, and tells who broke off. Each text is handed to `from_client`
/// or `from_provider` when it has gone on.
///
/// # Cancel safety
///
/// Dropping the future breaks off both sides.
pub async fn join(
    client: Upgraded,
    provider: Upgraded,
    from_client: impl FnMut(&[u8]),
    from_provider: impl FnMut(&[u8]),
) -> Ending {
    let (client_in, client_out) = tokio::io::split(TokioIo::new(client));
    let (provider_in, provider_out) = tokio::io::split(TokioIo::new(provider));
    let up = pass(client_in, provider_out, from_client);
    let down = pass(provider_in, client_out, from_provider);
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => {
            // The other side says its last word, if it has one.
            let _said = timeout(LAST_WORD, down).await;
            if ended.is_ok() { Ending::Reported } else { Ending::ClientGone }
        }
        ended = &mut down => {
            let _said = timeout(LAST_WORD, up).await;
            if ended.is_ok() { Ending::Reported } else { Ending::UpstreamCut }
        }
    }
}

async fn pass(
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut buffer = vec![0; PIECE];
    loop {
        let size = from.read(&mut buffer).await?;
        let piece = buffer.get(..size).unwrap_or_default();
        if piece.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(piece).await?;
        to.flush().await?;
        frames.read(piece, &mut take);
    }
}

/// How much is read at a time.
const PIECE: usize = 16 * 1024;
/// How long one side may go on when the other has ended.
const LAST_WORD: Duration = Duration::from_secs(5);
