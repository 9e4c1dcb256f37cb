//! The commands, one file each.

pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod jobs;
mod list;
mod list_arguments;
pub(crate) mod ls;
mod media_path;
pub(crate) mod put;
pub(crate) mod rm;
mod selection;
pub(crate) mod serve;
pub(crate) mod signal;
