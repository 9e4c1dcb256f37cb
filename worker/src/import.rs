//! The job class `media:import`: from a URL to stored bytes and the attributes of their media.

mod attempt;
mod failure;
mod filename;
mod importer;
mod source_description;

pub(crate) use importer::Importer;
