//! What goes wrong outside of Automa: it is killed, its disk is full, its files are not what it left.
//!
//! `AUTOMA_KILLS=50` kills it more often than the ten times of a normal run.

mod compaction;
mod cutting;
mod disk;
mod files;
mod kills;
