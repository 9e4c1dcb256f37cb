//! Permissions of every kind of caller.

mod fixture;
mod links;
mod projects;
mod public;
mod quotas;
mod rules;
