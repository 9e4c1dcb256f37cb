//! HTTP origins for tests. [`FaultyOrigin`] fails in the way that the path names, [`RangedOrigin`]
//! serves ranges correctly and follows a script, and [`VerbatimOrigin`] sends given bytes.

mod content;
mod fault_kinds;
mod faulty_origin;
mod plan;
mod range_faults;
mod range_headers;
mod ranged_origin;
mod request;
mod server;
mod tls;
mod verbatim;

pub use content::Content;
pub use faulty_origin::FaultyOrigin;
pub use range_headers::http_date;
pub use ranged_origin::{RangedOrigin, RecordedRequest, Script};
pub use tls::{Authority, Tls, TlsFront};
pub use verbatim::VerbatimOrigin;
