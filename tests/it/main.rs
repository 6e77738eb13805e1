//! Integration tests: the built program, real sandboxes. One module for each subject.

mod memory;
mod run;
