//! The plan for one request: the bytes that the origin sends, and how the connection ends.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt as _, time::sleep};

use super::server::{Connection, until_closed};

/// Time for sent bytes to arrive before a reset, which would overtake them.
pub(super) const DELIVERY_TIME: Duration = Duration::from_millis(100);

/// The bytes to send and the end of the connection.
pub(super) struct Plan {
    answer: Vec<u8>,
    then: Then,
}

/// The fate of the connection after the bytes of a [`Plan`].
pub(super) enum Then {
    /// The connection is closed.
    Close,
    /// The sending side is closed; the connection stays open until the client closes it.
    HalfClose,
    /// The connection is reset.
    Reset,
    /// Nothing more is sent until the client closes the connection.
    Wait,
    /// These bytes are sent after each pause until the client closes the connection.
    Repeat(Vec<u8>, Duration),
}

impl Plan {
    /// Carries out the plan on a connection.
    pub(super) async fn execute<C: Connection>(self, mut stream: C) -> io::Result<()> {
        stream.write_all(&self.answer).await?;
        stream.flush().await?;
        match self.then {
            Then::Close => stream.shutdown().await,
            Then::HalfClose => {
                stream.shutdown().await?;
                until_closed(stream).await
            }
            Then::Reset => {
                sleep(DELIVERY_TIME).await;
                stream.tcp().set_zero_linger()
            }
            Then::Wait => until_closed(stream).await,
            Then::Repeat(block, pause) => loop {
                sleep(pause).await;
                stream.write_all(&block).await?;
                stream.flush().await?;
            },
        }
    }
}

/// Makes a plan.
pub(super) fn plan(answer: impl Into<Vec<u8>>, then: Then) -> Plan {
    let answer = answer.into();
    Plan { answer, then }
}

/// Makes a plan for a valid response. Each header ends with a line break.
pub(super) fn reply(status: &str, headers: &str, body: &[u8]) -> Plan {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    plan([head.as_bytes(), body].concat(), Then::Close)
}
