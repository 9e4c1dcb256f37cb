//! A collector of traces that speaks OTLP over HTTP.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::ResourceSpans,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

#[derive(Clone, Debug)]
pub struct Span {
    /// The name of the program.
    pub service: String,
    /// The trace id in hexadecimal.
    pub trace: String,
    /// The span id in hexadecimal.
    pub id: String,
    /// The id of the parent span; empty at the root.
    pub parent: String,
    pub name: String,
    /// The start, in nanoseconds since 1970.
    pub begun: u64,
    /// The duration in nanoseconds.
    pub took: u64,
    /// The attributes, as text.
    pub attributes: Vec<(String, String)>,
}

/// A collector that keeps all spans.
pub struct TraceCollector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    accepting: JoinHandle<()>,
}

impl TraceCollector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&spans)));
        Self {
            address,
            spans,
            accepting,
        }
    }

    /// Returns the value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Returns a trace as text: each span below its parent, in the order of their start.
    pub fn tree(&self, trace: &str) -> String {
        let mut spans = self.spans();
        spans.retain(|span| span.trace == trace);
        spans.sort_by_key(|span| span.begun);
        let mut tree = String::new();
        let here = |id: &String| spans.iter().any(|span| span.id == *id);
        let roots: Vec<&Span> = spans.iter().filter(|span| !here(&span.parent)).collect();
        write(&roots, 0, &spans, &mut tree);
        tree
    }
}

impl Drop for TraceCollector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn write(these: &[&Span], depth: usize, spans: &[Span], tree: &mut String) {
    for span in these {
        let name = format!("{}{}", "  ".repeat(depth), span.name);
        let micros = span.took / 1000;
        let (millis, rest) = (micros / 1000, micros % 1000 / 100);
        writeln!(tree, "{name:<30}{:<14}{millis:>6}.{rest} ms", span.service).unwrap();
        let parts: Vec<&Span> = spans.iter().filter(|part| part.parent == span.id).collect();
        write(&parts, depth + 1, spans, tree);
    }
}

async fn accept(listener: TcpListener, spans: Arc<Mutex<Vec<Span>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(collect(stream, Arc::clone(&spans)));
    }
}

async fn collect(mut stream: TcpStream, spans: Arc<Mutex<Vec<Span>>>) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
        stream.read_exact(&mut body).await?;
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        let new = request.resource_spans.into_iter().flat_map(spans_of);
        spans.lock().unwrap().extend(new);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await?;
    }
}

fn spans_of(of: ResourceSpans) -> Vec<Span> {
    let resource = of.resource.unwrap_or_default();
    let service = texts(&resource.attributes)
        .into_iter()
        .find_map(|(name, value)| (name == "service.name").then_some(value))
        .unwrap_or_default();
    let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
    let spans = spans.map(|span| Span {
        service: service.clone(),
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        name: span.name,
        begun: span.start_time_unix_nano,
        took: span.end_time_unix_nano - span.start_time_unix_nano,
        attributes: texts(&span.attributes),
    });
    spans.collect()
}

fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let texts = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        let text = match value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(truth)) => truth.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key.clone(), text)
    });
    texts.collect()
}
