//! An origin that sends given bytes.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    request::Request,
    server::{Server, until_closed},
};

/// A running origin that sends exactly the bytes that the test gives it.
pub struct VerbatimOrigin {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Answer {
    bytes: Vec<u8>,
    /// The text that a request must contain to get this response, and the response to other requests.
    otherwise: Option<(String, Vec<u8>)>,
    stays_open: bool,
}

impl VerbatimOrigin {
    pub async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |stream| answer(stream, Arc::clone(&shared))).await;
        Self { server, state }
    }

    /// Returns the URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    /// Adds a response and returns its URL. The head comes without the empty line at its end.
    pub fn add(&self, path: &str, head: impl AsRef<[u8]>, body: &[u8]) -> String {
        self.insert(path, head.as_ref(), body, None, false)
    }

    /// Adds a response after which the connection stays open.
    pub fn add_open(&self, path: &str, head: impl AsRef<[u8]>, body: &[u8]) -> String {
        self.insert(path, head.as_ref(), body, None, true)
    }

    /// Adds a response to requests that contain a text, and a head as the response to all others.
    pub fn add_gated(
        &self,
        path: &str,
        text: &str,
        head: &str,
        body: &[u8],
        other: &str,
    ) -> String {
        let other = (text.to_owned(), format!("{other}\r\n\r\n").into_bytes());
        self.insert(path, head.as_bytes(), body, Some(other), false)
    }

    /// Adds a complete response with these headers, each of which ends with a line break.
    pub fn add_file(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}");
        self.add(path, head.trim_end(), body)
    }

    /// Returns the heads of the requests for a path, in order.
    pub fn requests(&self, path: &str) -> Vec<String> {
        let begin = format!("GET {path} ");
        let state = self.state.lock().unwrap();
        let requests = state.requests.iter();
        requests
            .filter(|head| head.starts_with(&begin))
            .cloned()
            .collect()
    }

    fn insert(
        &self,
        path: &str,
        head: &[u8],
        body: &[u8],
        otherwise: Option<(String, Vec<u8>)>,
        stays_open: bool,
    ) -> String {
        let answer = Answer {
            bytes: [head, b"\r\n\r\n", body].concat(),
            otherwise,
            stays_open,
        };
        let mut state = self.state.lock().unwrap();
        state.answers.insert(path.to_owned(), answer);
        self.url(path)
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let request = Request::read(&mut stream).await?;
    let path = format!("/{}", request.target().0);
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.0.clone());
        state.answers.get(&path).cloned()
    };
    let Some(answer) = answer else {
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            .await?;
        return stream.shutdown().await;
    };
    let bytes = match &answer.otherwise {
        Some((text, other)) if !request.0.contains(text) => other,
        _ => &answer.bytes,
    };
    stream.write_all(bytes).await?;
    stream.flush().await?;
    if answer.stays_open {
        return until_closed(stream).await;
    }
    stream.shutdown().await
}
