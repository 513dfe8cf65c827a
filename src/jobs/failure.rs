//! Defines why a run of a job failed and whether another run may succeed.

use std::fmt;

use crate::{
    db::{DbError, Outage},
    http::Problem,
};

/// Why an attempt failed, and whether another one may succeed.
#[derive(Debug)]
pub enum Failure {
    /// Try again after a while.
    Retry(anyhow::Error),
    /// No attempt will succeed: the job is dead at once.
    Permanent(anyhow::Error),
}

/// `?` retries: only who knows better says [`Failure::Permanent`].
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

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Retry(anyhow::Error::msg(problem.to_string()))
    }
}

/// So that a job can say `db.tx(|conn| Ok::<_, Failure>(…))`.
impl Outage for Failure {
    fn is_outage(&self) -> bool {
        let (Self::Retry(error) | Self::Permanent(error)) = self;
        matches!(error.downcast_ref(), Some(DbError::Unavailable(_)))
    }
}

const LONGEST: usize = 500;

/// For logs and admins: one line of bounded length. Mail servers like to repeat addresses and
/// links, which are personal or secret, so those go.
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
        f.write_str(line.char_indices().nth(LONGEST).map_or(&line, |(end, _)| &line[..end]))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn its_text_is_one_short_line_without_addresses_and_links() {
        let error = anyhow!("550 <ada@example.com>: no\r\nsuch\0user, see https://example.com/#token=x")
            .context("not sent");
        let text = Failure::Permanent(error).to_string();
        assert_eq!(text, "not sent: 550 [address] no such user, see [link]");
        assert_eq!(Failure::Retry(anyhow!("é".repeat(1000))).to_string().chars().count(), LONGEST);
    }
}
