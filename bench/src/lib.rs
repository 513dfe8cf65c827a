//! Shared code of the measuring programs: a client, processes, and their figures from the operating system.

pub mod http;
pub mod process;
pub mod sys;
