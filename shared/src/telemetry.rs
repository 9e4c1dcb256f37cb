//! What the programs say about themselves.

use std::any::Any;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How much the programs say unless `RUST_LOG` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// What a service should say: what happens to jobs, and what goes wrong.
    Service,
    /// What a command should say beside its own output: what goes wrong for good.
    Command,
}

impl Verbosity {
    fn directives(self) -> &'static str {
        match self {
            Self::Service => "warn,media=info,media_api=info,media_shared=info,media_worker=info",
            Self::Command => "error",
        }
    }
}

/// Writes log lines to standard error. Colours only on a terminal.
pub fn start(verbosity: Verbosity) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(verbosity.directives()));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
