//! The reasons for which permissions are denied.

/// The reason why a caller may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request has no token.
    #[error("this needs a token: send `Authorization: Bearer …`")]
    Unauthenticated,
    /// The token lacks a scope.
    #[error("the token's `scope` lacks `{0}`")]
    Scope(&'static str),
    /// The token names no project, and new records belong to one.
    #[error("the token names no project; its issuer has to put `project_id` into it")]
    NoProject,
    /// The token names several projects.
    #[error("the token names several projects; say with `project_id` which one this is for")]
    WhichProject,
    /// The token does not name this project.
    #[error("the token does not name this project")]
    ForeignProject,
    /// There is no authentication, and so there are no projects.
    #[error("there are no projects where there is no authentication")]
    NoProjects,
    /// It concerns all projects.
    #[error("this is for the role `admin`")]
    NotAdmin,
    /// The record has another creator.
    #[error("this belongs to another creator; the role `user` changes its own jobs and media only")]
    NotOwn,
}
