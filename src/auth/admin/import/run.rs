//! Imports the accounts of a file, all or none, in the caller's transaction.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::ValidationError;

use super::file::{Format, Line};
use crate::{
    audit::{Event, EventKind},
    auth::{self, challenges, mails::InvitationMail},
    db::UserId,
    http::{
        Problem,
        import::{Mistake, Mistakes},
    },
    jobs,
    limits::Limits,
    passwords,
    tokens::Role,
    users::{self, EmailAddress, NewUser, Taken, check_name, check_new_email, check_username},
};

const MAX_LINES: usize = 50_000;
/// Lines that are inserted with one statement.
const BATCH: usize = 500;
/// Each takes a few statements.
const MAX_INVITED: usize = 5_000;

/// What to do with a line whose address or username an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "fail")]
pub enum OnConflict {
    #[default]
    Fail,
    Skip,
}

/// How to import a file.
pub struct Import<'a> {
    pub format: Format,
    pub on_conflict: OnConflict,
    pub allow_admins: bool,
    /// With the budgets of mails: to mail invitations.
    pub invite: Option<&'a Limits>,
    /// Makes an event of what the importer does, to this account or to none.
    pub event: &'a dyn Fn(EventKind, Option<UserId>) -> Event,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// Lines that were read, without the heading.
    #[schema(example = 1000)]
    pub lines: usize,
    /// Accounts that were created.
    #[schema(example = 998)]
    pub created: usize,
    /// Lines that were left out, because an account has their address or username.
    #[schema(example = 2)]
    pub skipped: usize,
    /// Invitations that are mailed.
    #[schema(example = 0)]
    pub invited: usize,
}

/// Imports a file.
///
/// # Errors
/// `validation-failed` with the mistakes of all lines; `email-taken` or `username-taken` if another transaction takes it
/// at the same time. The caller rolls the transaction back.
pub fn import(
    conn: &mut PgConnection,
    file: &[u8],
    how: &Import,
    now: DateTime<Utc>,
) -> Result<Report, Problem> {
    let mut run =
        Run { how, now, report: Report::default(), mistakes: Mistakes::default(), seen: HashMap::new() };
    let mut batch = Vec::with_capacity(BATCH);
    for (number, line) in how.format.read(file)? {
        run.report.lines += 1;
        if run.report.lines > MAX_LINES {
            run.mistakes.add(number, Mistake::new("", "too-many", format!("at most {MAX_LINES} lines")));
            break;
        }
        if let Some(user) = run.check(number, line) {
            batch.push((number, user));
        }
        if batch.len() == BATCH {
            run.insert(conn, &mut batch)?;
        }
    }
    run.insert(conn, &mut batch)?;
    run.finish(conn)
}

struct Run<'a> {
    how: &'a Import<'a>,
    now: DateTime<Utc>,
    report: Report,
    mistakes: Mistakes,
    /// The lines of canonical addresses and usernames. No username has an `@`, so they do not meet.
    seen: HashMap<String, u64>,
}

impl Run<'_> {
    /// Checks a line by itself and against the lines before it.
    fn check(&mut self, number: u64, line: Result<Line, Mistake>) -> Option<NewUser> {
        let mut found = Vec::new();
        let user = match line {
            Ok(line) => self.check_values(line, &mut found),
            Err(mistake) => {
                found.push(mistake);
                None
            }
        };
        let user = user.filter(|_| found.is_empty());
        for (field, name) in user.iter().flat_map(names) {
            if let Some(earlier) = self.seen.insert(name.to_owned(), number) {
                found.push(Mistake::new(field, "duplicate", format!("is also in line {earlier}")));
            }
        }
        let is_good = found.is_empty();
        for mistake in found {
            self.mistakes.add(number, mistake);
        }
        user.filter(|_| is_good)
    }

    /// Applies the rules of an invitation by an admin.
    fn check_values(&self, line: Line, found: &mut Vec<Mistake>) -> Option<NewUser> {
        let Line { email, username, name, role, email_confirmed, password_hash, created_at, disabled } = line;
        let mut check = |field: &str, result: Result<(), ValidationError>| {
            if let Err(error) = result {
                let message = error.message.unwrap_or_else(|| "is not valid".into());
                found.push(Mistake::new(field, error.code, message));
            }
        };
        check("email", check_new_email(&email));
        check("username", username.as_deref().map_or(Ok(()), check_username));
        check("name", name.as_deref().map_or(Ok(()), check_name));
        let role = match role.as_deref() {
            None | Some("user") => Role::User,
            Some("admin") if self.how.allow_admins => Role::Admin,
            Some("admin") => {
                found.push(Mistake::new("role", "not-allowed", "must be user, unless admins are allowed"));
                Role::User
            }
            Some(_) => {
                found.push(Mistake::new("role", "type", "must be user or admin"));
                Role::User
            }
        };
        let created_at = match created_at.as_deref().map(DateTime::parse_from_rfc3339) {
            None => self.now,
            Some(Ok(at)) => at.to_utc(),
            Some(Err(_)) => {
                found.push(Mistake::new("created_at", "type", "must be a time as in RFC 3339"));
                self.now
            }
        };
        // The precision of the database.
        let created_at = created_at.trunc_subsecs(6);
        if created_at > self.now || created_at < DateTime::UNIX_EPOCH {
            found.push(Mistake::new("created_at", "range", "must be in the past, and not before 1970"));
        }
        // Django marks an account without a password like this.
        let hash = password_hash.filter(|hash| !hash.starts_with('!'));
        let hash = hash.map_or(Ok(passwords::UNUSABLE.to_owned()), |hash| passwords::to_store(&hash));
        let hash = hash
            .map_err(|error| found.push(Mistake::new("password_hash", error.code(), error.message())))
            .ok()?;
        let new = NewUser::new(EmailAddress::parse(&email)?, hash, role, created_at).named(name, username);
        let new = if email_confirmed == Some(true) { new.confirmed() } else { new };
        Some(new.imported(disabled == Some(true), self.now))
    }

    /// Inserts the lines whose names are free. After a mistake nothing is inserted, since it would be rolled back.
    fn insert(&mut self, conn: &mut PgConnection, batch: &mut Vec<(u64, NewUser)>) -> Result<(), Problem> {
        let emails: Vec<&str> = batch.iter().map(|(_, user)| user.email().canonical()).collect();
        let usernames: Vec<&str> = batch.iter().filter_map(|(_, user)| user.username_canonical()).collect();
        let mut taken = users::find_taken(conn, &emails, &usernames)?;
        taken.extend(challenges::find_reserved(conn, &emails, self.now)?);
        let mut free = Vec::with_capacity(batch.len());
        for (number, user) in batch.drain(..) {
            let conflicts: Vec<&str> =
                names(&user).filter(|(_, name)| taken.contains(*name)).map(|(field, _)| field).collect();
            if conflicts.is_empty() {
                free.push(user);
            } else if self.how.on_conflict == OnConflict::Skip {
                self.report.skipped += 1;
            } else {
                for field in conflicts {
                    self.mistakes.add(number, Mistake::new(field, "taken", "is taken"));
                }
            }
        }
        if free.is_empty() || !self.mistakes.is_empty() {
            return Ok(());
        }
        users::insert_all(conn, &free).map_err(|error| match Taken::by(&error) {
            Some(taken) => taken.problem(),
            None => error.into(),
        })?;
        self.report.created += free.len();
        let event = |user: &NewUser| {
            (self.how.event)(EventKind::Registered, Some(user.id()))
                .detail("by", "import")
                .detail("role", user.role().as_str())
        };
        Event::record_all(free.iter().map(event).collect(), conn, self.now)?;
        self.invite(conn, &free)
    }

    fn invite(&mut self, conn: &mut PgConnection, users: &[NewUser]) -> Result<(), Problem> {
        let Some(limits) = self.how.invite else { return Ok(()) };
        for user in users.iter().filter(|user| !user.has_password()) {
            if self.report.invited == MAX_INVITED {
                let message =
                    format!("must be false for more than {MAX_INVITED} accounts without a password");
                return Err(Problem::invalid("/invite", "too-many", message));
            }
            if auth::may_mail(conn, limits, limits.rates.mails.confirmation, user.email(), self.now)? {
                jobs::enqueue(conn, &InvitationMail { user: user.id() }, self.now)?;
                self.report.invited += 1;
            }
        }
        Ok(())
    }

    fn finish(self, conn: &mut PgConnection) -> Result<Report, Problem> {
        if !self.mistakes.is_empty() {
            return Err(self.mistakes.problem());
        }
        (self.how.event)(EventKind::UsersImported, None)
            .detail("created", self.report.created)
            .detail("skipped", self.report.skipped)
            .record(conn, self.now)?;
        Ok(self.report)
    }
}

/// The names of an account that no other one may have, with their fields.
fn names(user: &NewUser) -> impl Iterator<Item = (&'static str, &str)> {
    let username = user.username_canonical().map(|name| ("username", name));
    [("email", user.email().canonical())].into_iter().chain(username)
}
