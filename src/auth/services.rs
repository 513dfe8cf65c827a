//! What the endpoints of this room share.

use actix_web::{HttpResponse, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;

use super::challenges::ChallengeKeys;
use crate::{
    clock::Clock,
    config,
    db::{self, Db},
    http::Problem,
    jobs::{self, Job},
    limits::{Limits, RateLimit},
    passwords::{Hasher, Policy},
    tokens::{Activity, Blocklist, Jwt, Lifetimes},
    users::EmailAddress,
};

/// The services of the endpoints of accounts, as one part of the application's data.
pub struct Auth {
    pub db: Db,
    pub clock: Data<Clock>,
    pub limits: Data<Limits>,
    pub hasher: Hasher,
    pub policy: Policy,
    pub challenge_keys: Data<ChallengeKeys>,
    pub jwt: Data<Jwt>,
    pub blocklist: Data<Blocklist>,
    pub activity: Data<Activity>,
    pub accounts: config::Accounts,
    pub tokens: config::Tokens,
}

impl Auth {
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn lifetimes(&self) -> Lifetimes {
        Lifetimes::new(&self.tokens, &self.clock)
    }

    /// Enqueues a mail to an address that anybody may have typed in, and answers 202. The address is only
    /// looked up by the job: neither the answer nor its time shows whether there is an account.
    ///
    /// # Errors
    /// `too-many-requests`: the address has got enough mails of this kind, or of all.
    pub(super) async fn mail_if_known<J: Job>(
        &self,
        email: &str,
        kind: RateLimit,
        job: impl FnOnce(String) -> J,
    ) -> Result<HttpResponse, Problem> {
        let email = EmailAddress::parse(email).expect("validated");
        db::charge_to(email.canonical());
        let (job, now, limits) = (job(email.given().to_owned()), self.now(), self.limits.clone());
        let enqueue = move |conn: &mut PgConnection| -> Result<(), Problem> {
            super::spend_mail(conn, &limits, kind, &email, now)?;
            jobs::enqueue(conn, &job, now)?;
            Ok(())
        };
        self.db.tx(enqueue).await?;
        Ok(HttpResponse::Accepted().finish())
    }
}
