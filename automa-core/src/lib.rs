//! Automa as a library: what a script is, and what becomes of an execution.
//!
//! The crate has no web part: it is what a Rust program embeds. The sandbox below it is
//! [`automa_sandbox`].
//!
//! ```
//! use automa_core::script::Language;
//! assert_eq!(Language::detect("backup.py", b""), Ok(Language::Python));
//! ```

pub mod execution;
pub mod script;
