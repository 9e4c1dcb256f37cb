#[cfg(feature = "swagger-ui")]
pub(crate) mod swagger_ui;
