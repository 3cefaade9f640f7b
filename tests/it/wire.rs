//! Raw sockets on both sides of the proxy: what is said there is known to the byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A message as it stood on the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// Its first line and its headers, with their ends.
    pub(crate) head: String,
    /// Its body without the framing of chunks.
    pub(crate) body: Vec<u8>,
    /// The lines behind the last chunk.
    pub(crate) trailers: String,
    /// Whether its framing says that it came to its end.
    pub(crate) is_whole: bool,
    /// The number of its connection, counted from 0.
    pub(crate) connection: usize,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the names of all headers, in lower case and sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.lines().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name, value.trim()))
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }
}

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What came and was not taken yet.
    rest: Vec<u8>,
}

/// What tells where a body ends that says nothing of its length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silent {
    /// There is none: a request, or an answer to `HEAD`, 204 and the like.
    Empty,
    /// The end of the connection: an answer.
    ToTheEnd,
}

impl Wire {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.expect("a connection"))
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        Self { stream, rest: Vec::new() }
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("it is listened to");
    }

    /// The same where the other side may have gone.
    pub(crate) async fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Says that nothing more comes, and still listens.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.expect("it was open");
    }

    /// Returns how much came that nobody took, and forgets it.
    pub(crate) fn taken(&mut self) -> usize {
        std::mem::take(&mut self.rest).len()
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads a request's head and leaves its body.
    pub(crate) async fn heard_head(&mut self) -> String {
        self.head().await.expect("a request")
    }

    /// Returns the next answer.
    pub(crate) async fn answer(&mut self) -> Message {
        self.hear(Silent::ToTheEnd).await.expect("an answer")
    }

    /// Returns the next answer, which has no body whatever its head says.
    pub(crate) async fn bare_answer(&mut self) -> Message {
        let head = self.head().await.expect("an answer");
        Message { head, is_whole: true, ..Message::default() }
    }

    /// Waits until the other side has closed; tells whether nothing came before that.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let nothing = self.rest.is_empty();
        nothing && !self.more().await
    }

    /// Returns the next message; `None` where the connection ends instead.
    pub(crate) async fn hear(&mut self, silent: Silent) -> Option<Message> {
        let head = self.head().await?;
        let mut message = Message { head, ..Message::default() };
        if message.is_chunked() {
            self.chunks(&mut message).await;
        } else if let Some(length) = message.length() {
            while self.rest.len() < length && self.more().await {}
            message.is_whole = self.rest.len() >= length;
            message.body = self.rest.drain(..length.min(self.rest.len())).collect();
        } else {
            while silent == Silent::ToTheEnd && self.more().await {}
            let taken = if silent == Silent::ToTheEnd { self.rest.len() } else { 0 };
            message.body = self.rest.drain(..taken).collect();
            message.is_whole = true;
        }
        Some(message)
    }

    async fn chunks(&mut self, message: &mut Message) {
        while let Some(size) = self.line().await {
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
            if size == 0 {
                while let Some(line) = self.line().await {
                    if line.is_empty() {
                        message.is_whole = true;
                        return;
                    }
                    message.trailers.push_str(&line);
                    message.trailers.push('\n');
                }
                return;
            }
            while self.rest.len() < size + 2 && self.more().await {}
            let got = size.min(self.rest.len());
            message.body.extend(self.rest.drain(..got));
            if got < size || self.rest.len() < 2 {
                return;
            }
            assert_eq!(self.rest.drain(..2).collect::<Vec<_>>(), b"\r\n", "the end of a chunk");
        }
    }

    async fn head(&mut self) -> Option<String> {
        let end = self.until(b"\r\n\r\n").await?;
        Some(String::from_utf8_lossy(&self.rest.drain(..end).collect::<Vec<_>>()).into_owned())
    }

    async fn line(&mut self) -> Option<String> {
        let end = self.until(b"\r\n").await?;
        let line: Vec<u8> = self.rest.drain(..end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Waits for `mark` and returns where it ends.
    async fn until(&mut self, mark: &[u8]) -> Option<usize> {
        loop {
            let found = self.rest.windows(mark.len()).position(|window| window == mark);
            if let Some(start) = found {
                return Some(start + mark.len());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads some more; `false` at the end.
    async fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece).await.unwrap_or(0);
        self.rest.extend_from_slice(piece.get(..read).unwrap_or_default());
        read > 0
    }
}

/// What a provider says to a request.
pub(crate) struct Says {
    /// Written one after the other.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) then: Then,
}

/// What it does after that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Waits for the next request.
    GoesOn,
    /// Closes the connection.
    Closes,
    /// Keeps it open, and says nothing more.
    Waits,
}

impl Says {
    /// An answer in one piece, after which the connection stays.
    pub(crate) fn all(answer: impl Into<Vec<u8>>) -> Self {
        Self { pieces: vec![answer.into()], then: Then::GoesOn }
    }

    /// An answer behind which the connection is closed.
    pub(crate) fn last(answer: impl Into<Vec<u8>>) -> Self {
        Self { then: Then::Closes, ..Self::all(answer) }
    }
}

/// Returns an answer with a JSON body and its length, and `more` headers, each with its line's end.
pub(crate) fn json(status: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    )
    .into_bytes()
}

type Script = dyn Fn(usize, &Message) -> Says + Send + Sync;

/// A provider that says what a test tells it, byte for byte. It listens until the test ends.
pub(crate) struct Provider {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Message>>>,
    /// How many connections its clients have closed.
    left: watch::Sender<usize>,
}

impl Provider {
    /// Starts one that asks `script` what to say to each request, counted from 0.
    pub(crate) async fn start(
        script: impl Fn(usize, &Message) -> Says + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let left = watch::Sender::new(0);
        let script: Arc<Script> = Arc::new(script);
        let (log, told) = (Arc::clone(&heard), left.clone());
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, told) = (Arc::clone(&script), Arc::clone(&log), told.clone());
                tokio::spawn(async move {
                    converse(Wire::of(stream), connection, &*script, &log).await;
                    told.send_modify(|left| *left += 1);
                });
                connection += 1;
            }
        });
        Self { address, heard, left }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn heard(&self) -> Vec<Message> {
        self.heard.lock().expect("not poisoned").clone()
    }

    pub(crate) fn heard_last(&self) -> Message {
        self.heard.lock().expect("not poisoned").last().expect("a request").clone()
    }

    /// Waits until a connection was closed by who asks.
    pub(crate) async fn left(&self) {
        self.left.subscribe().wait_for(|left| *left > 0).await.expect("the provider lives");
    }
}

async fn converse(mut wire: Wire, connection: usize, script: &Script, log: &Mutex<Vec<Message>>) {
    while let Some(mut message) = wire.hear(Silent::Empty).await {
        message.connection = connection;
        let says = {
            let mut log = log.lock().expect("not poisoned");
            let says = script(log.len(), &message);
            log.push(message);
            says
        };
        for piece in says.pieces {
            if !wire.try_say(&piece).await {
                return;
            }
        }
        match says.then {
            Then::GoesOn => {}
            Then::Closes => return,
            Then::Waits => {
                wire.is_closed().await;
                return;
            }
        }
    }
}
