//! media-api
