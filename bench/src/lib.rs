//! Shared code of the measuring programs: a client, processes, stand-ins for services, and figures from the operating system.

pub mod fakes;
pub mod http;
pub mod process;
pub mod sys;
