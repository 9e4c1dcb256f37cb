//! The job class `media:import`: from a URL to stored bytes and the attributes of their media.

mod attempt;
mod failure;
mod filename;
mod importer;
mod present_media;
mod source_description;
mod transfer_error;

pub(crate) use importer::Importer;
pub(crate) use present_media::{Imported, Unchanged};
