//! Groups the services that the handlers of this room share.

use std::sync::Arc;

use actix_web::{HttpResponse, web::Data};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use tokio::sync::Semaphore;

use super::{breaches::Breaches, challenges::ChallengeKeys};
use crate::{
    clock::Clock,
    config,
    db::{self, Db},
    http::Problem,
    jobs::{self, Job},
    limits::{Limits, RateLimit},
    passwords::{Hasher, Policy},
    tokens::{Activity, ApiKeys, Blocklist, Jwt, KeyRing, Lifetimes, Sealer},
    users::EmailAddress,
};

/// The services that handlers take as `Data<Auth>`.
pub struct Auth {
    pub db: Db,
    pub clock: Data<Clock>,
    pub limits: Data<Limits>,
    pub hasher: Hasher,
    pub policy: Policy,
    /// None without `PASSWORD_BREACH_URL`.
    pub breaches: Option<Breaches>,
    pub challenge_keys: Data<ChallengeKeys>,
    /// Encrypts responses that are stored for repetition.
    pub sealer: Arc<Sealer>,
    pub jwt: Data<Jwt>,
    pub blocklist: Data<Blocklist>,
    pub activity: Data<Activity>,
    pub api_keys: Data<ApiKeys>,
    /// The right to import accounts: one import at a time.
    pub imports: Arc<Semaphore>,
    pub keys: Data<KeyRing>,
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

    /// Enqueues a mail to an address that anyone may have entered, and answers 202. Only the job looks the address up:
    /// neither the response nor its time reveals whether an account exists.
    ///
    /// # Errors
    /// `too-many-requests`: the budget of the address for this kind of mail, or for all mails, is used up.
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
