//! Who may see and do what.

mod fixture;
mod links;
mod projects;
mod public;
mod rules;
