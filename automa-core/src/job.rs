//! Jobs: scripts that start by themselves, at times or when somebody calls.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`trigger`] | when a job is due: once, at intervals, by a cron pattern, by a call; pure, without a clock |

pub mod trigger;
