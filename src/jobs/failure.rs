//! Why a run of a job failed, and whether it is repeated.

use std::fmt::{self, Write};

use crate::db::DbError;

/// Why an attempt failed, and whether to repeat it.
#[derive(Debug)]
pub enum Failure {
    /// Repeat it later.
    Retry(anyhow::Error),
    /// No attempt can succeed: the job is dead at once.
    Permanent(anyhow::Error),
}

/// `?` means a retry; [`Failure::Permanent`] is always explicit.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Retry(error)
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Retry(error.into())
    }
}

/// In characters.
const MAX_TEXT: usize = 500;

/// For logs and admins: one line of limited length. Mail servers repeat addresses and links, which are personal or
/// secret, so those are replaced.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Retry(error) | Self::Permanent(error)) = self;
        let text = format!("{error:#}").replace(char::is_control, " ");
        let words = text.split_whitespace().map(|word| match word {
            _ if word.contains("://") => "[link]",
            _ if word.contains('@') => "[address]",
            _ => word,
        });
        let line = words.collect::<Vec<_>>().join(" ");
        line.chars().take(MAX_TEXT).try_for_each(|char| f.write_char(char))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_text_is_one_short_line_without_addresses_and_links() {
        let error = anyhow!("550 <ada@example.com>: no\r\nsuch\0user, see https://example.com/#token=x")
            .context("not sent");
        let text = Failure::Permanent(error).to_string();
        assert_eq!(text, "not sent: 550 [address] no such user, see [link]");
        assert_eq!(Failure::Retry(anyhow!("é".repeat(1000))).to_string().chars().count(), MAX_TEXT);
    }
}
