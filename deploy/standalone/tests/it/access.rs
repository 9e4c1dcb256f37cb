//! Who may see and do what.

mod links;
mod projects;
mod rules;
mod world;
