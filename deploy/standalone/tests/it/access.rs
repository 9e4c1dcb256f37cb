//! Who may see and do what.

mod links;
mod projects;
mod public;
mod rules;
mod world;
