//! What the measuring programs share: a client, processes, and what the operating system knows of them.

pub mod http;
pub mod process;
pub mod sys;
