//! The API of a real server, as its clients see it. One module for each part of it.

mod executions;
mod jobs;
mod keys;
mod people;
mod quotas;
mod scripts;
mod setup;
