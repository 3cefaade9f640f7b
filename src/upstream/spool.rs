//! The front of a body that was read before it can be sent: a little in memory, the rest in a file without
//! a name.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};

/// The front of a body. The file is gone with the last handle, also where the program is killed.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    memory: VecDeque<Bytes>,
    /// Bytes in memory.
    held: usize,
    file: Option<File>,
    /// Bytes in the file that are not read yet.
    stored: u64,
}

/// The most that is held in memory.
pub const MOST_HELD: usize = 1 << 20;

/// How much of the file is read at a time.
const STEP: usize = 64 * 1024;

impl Spool {
    /// Creates an empty front, whose file will be made in `folder` where one is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, memory: VecDeque::new(), held: 0, file: None, stored: 0 }
    }

    /// Creates a front that was read already and stays in memory.
    pub fn of(front: Bytes) -> Self {
        let held = front.len();
        Self { folder: PathBuf::new(), memory: [front].into(), held, file: None, stored: 0 }
    }

    /// Returns its size in bytes.
    pub const fn size(&self) -> u64 {
        self.held as u64 + self.stored
    }

    /// Returns how much of it is in memory.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// Where the file cannot be made or written: the disk is full, for example.
    pub async fn push(&mut self, piece: Bytes) -> io::Result<()> {
        if self.file.is_none() && self.held + piece.len() <= MOST_HELD {
            self.held += piece.len();
            self.memory.push_back(piece);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless(self.folder.clone()).await?),
        };
        file.write_all(&piece).await?;
        self.stored += piece.len() as u64;
        Ok(())
    }

    /// Ends the writing: from now on it is read.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written to its end.
    pub async fn rewind(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush().await?;
            file.rewind().await?;
        }
        Ok(())
    }

    /// Returns all of it as one piece, where none of it is in a file.
    pub fn whole(&self) -> Option<Bytes> {
        if self.file.is_some() {
            return None;
        }
        if let (1, Some(only)) = (self.memory.len(), self.memory.front()) {
            return Some(only.clone());
        }
        let mut whole = BytesMut::with_capacity(self.held);
        self.memory.iter().for_each(|piece| whole.extend_from_slice(piece));
        Some(whole.freeze())
    }

    /// Polls for the next piece; `None` at the end.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(piece) = self.memory.pop_front() {
            self.held -= piece.len();
            return Poll::Ready(Some(Ok(piece)));
        }
        let Some(file) = self.file.as_mut().filter(|_| self.stored > 0) else {
            return Poll::Ready(None);
        };
        let mut piece = BytesMut::zeroed(STEP);
        let mut buffer = ReadBuf::new(&mut piece);
        if let Err(error) = ready!(Pin::new(file).poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        self.stored = self.stored.saturating_sub(read as u64);
        piece.truncate(read);
        Poll::Ready(Some(Ok(piece.freeze())))
    }
}

/// Makes a file in `folder` that has no name, for nobody else to read or to be left behind.
async fn nameless(folder: PathBuf) -> io::Result<File> {
    let made = tokio::task::spawn_blocking(move || in_folder(&folder)).await;
    Ok(File::from_std(made.map_err(io::Error::other)??))
}

fn in_folder(folder: &Path) -> io::Result<std::fs::File> {
    std::fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_again_and_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for pieces in [0_usize, 1, 3, 40] {
            let mut spool = Spool::new(folder.path().join("made"));
            let piece = |n: usize| Bytes::from(vec![u8::try_from(n % 251).unwrap(); 100_000]);
            for n in 0..pieces {
                spool.push(piece(n)).await.expect("a disk");
            }
            spool.rewind().await.expect("a disk");
            assert_eq!(spool.size(), pieces as u64 * 100_000);
            assert!(spool.held() <= MOST_HELD);
            assert_eq!(spool.whole().is_some(), pieces < 11, "{pieces} pieces");
            let mut read = Vec::new();
            while let Some(piece) = poll_fn(|context| spool.poll_piece(context)).await {
                read.extend_from_slice(&piece.expect("a disk"));
            }
            assert_eq!(read, (0..pieces).flat_map(piece).collect::<Vec<u8>>());
            assert_eq!(spool.size(), 0);
        }
        let left = std::fs::read_dir(folder.path().join("made")).expect("the folder").count();
        assert_eq!(left, 0, "a file has a name");
    }
}
