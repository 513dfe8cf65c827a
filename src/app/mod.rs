//! The only room that knows everything: which services there are, which routes, how it starts
//! and stops.

mod apidocs;
mod background;
mod connections;
mod document;
mod health;
mod housekeeping;
mod jobs;
mod listen;
mod metrics;
mod serve;

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::{
    App, Error,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName},
    },
    middleware::{Condition, from_fn},
    web::{self, Data},
};
use anyhow::Result;
use utoipa_actix_web::{AppExt, scope, service_config::ServiceConfig};

use self::connections::Connections;
pub use self::{document::document, serve::Server};
use crate::{
    auth::{self, challenges::ChallengeKeys},
    clock::Clock,
    coins,
    config::{self, Accounts, Config, Profile, SecretKey, Server as ServerSettings, Tokens},
    db::{Db, Follow, Follower, connect_patiently, migrate, naming_locks, set_clock},
    http::{
        Envelope, Fallback, Requests, TrustedProxies, X_REQUEST_ID, envelope, fallback, problem_page,
        problem_pages,
    },
    jobs::Wake,
    limits::Limits,
    mail::Mailer,
    passwords::{Hasher, Policy},
    tasks::Tasks,
    tokens::{self, Activity, Blocklist, Jwt, KeyRing, Sealer},
    users,
};

/// Every operation of the API; registering one here documents it.
fn routes(config: &mut ServiceConfig) {
    // A request is compared with one route after the other: what is read most comes first.
    let api = scope::scope("/api/v1")
        .configure(coins::routes)
        .configure(auth::routes)
        .configure(users::routes)
        .configure(crate::jobs::routes);
    config
        .service(api)
        .configure(tokens::routes)
        .configure(auth::pages)
        .service(health::healthz)
        .service(health::readyz)
        .service(document::openapi_json)
        .service(problem_pages)
        .service(problem_page);
}

/// What handlers ask for, one of each.
#[derive(Clone)]
struct Services {
    tasks: Data<Tasks>,
    envelope: Data<Envelope>,
    proxies: Data<TrustedProxies>,
    fallback: Data<Fallback>,
    document: Data<document::Document>,
    /// None with `API_DOCS=off`.
    swagger_ui: Option<Profile>,
    limits: Data<Limits>,
    connections: Arc<Connections>,
    /// Counted only for those who look.
    requests: Option<Data<Requests>>,
    clock: Data<Clock>,
    db: Data<Db>,
    hasher: Data<Hasher>,
    policy: Data<Policy>,
    keys: Data<KeyRing>,
    jwt: Data<Jwt>,
    blocklist: Data<Blocklist>,
    activity: Data<Activity>,
    token_settings: Data<Tokens>,
    coins: Data<coins::View>,
    mailing: auth::Mailing,
    challenge_keys: Data<ChallengeKeys>,
    accounts: Data<Accounts>,
    pages: Data<auth::Pages>,
    wake: Arc<Wake>,
    coin_settings: Data<config::Coins>,
    streams: Data<coins::Streams>,
    social_settings: Data<config::Social>,
    fingerprints: coins::social::Fingerprints,
    cors_origins: Vec<String>,
}

impl Services {
    /// Connects, migrates, and loads what is kept in memory; blocks.
    fn start(config: &Config, secret: &SecretKey, clock: &Clock) -> Result<(Self, [Follower; 2])> {
        let url = config.database.url.as_ref().expect("resolved before the start");
        let mut conn = connect_patiently(url, &config.database)?;
        set_clock(&mut conn, clock)?;
        let keys = naming_locks(url, &mut conn, |conn| {
            if config.database.auto_migrate {
                for name in migrate::run(conn)? {
                    tracing::info!(name, "migrated");
                }
            }
            migrate::check_current(conn)?;
            let sealer = Arc::new(Sealer::new(secret));
            tokens::create_if_absent(conn, &sealer, clock.now())?;
            coins::ensure_demo(conn, clock.now())?;
            KeyRing::load(conn, sealer)
        })?;
        let keys = Arc::new(keys);
        let blocklist = Arc::new(Blocklist::new(clock.clone(), config.tokens.max_staleness));
        let coins = Arc::new(coins::View::new(clock.clone(), &config.coins));
        let wake = Arc::new(Wake::default());
        // On one connection and the keys first, so that while the blocklist is current, they are, too.
        let views: Vec<Arc<dyn Follow>> = vec![keys.clone(), blocklist.clone(), wake.clone()];
        // Coins on their own: preparing many in many currencies takes a while, and no log-out waits for that.
        let tasks = Tasks::default();
        let followers = [
            Follower::start("follow-tokens", url, clock, views, &tasks)?,
            Follower::start("follow-coins", url, clock, vec![coins.clone()], &tasks)?,
        ];

        let ServerSettings { public_url, trusted_proxies, cors_origins, .. } = &config.server;
        let document = document::document();
        let db = Db::new(url, config.database.pool_size, &tasks);
        let challenge_keys = Data::new(ChallengeKeys::new(secret));
        let budgets = tokens::derive_key(secret.current.expose().as_bytes(), b"budgets v1");
        let limits = Data::new(Limits::new(config.server.rate_limits, &budgets, clock));
        let mut passwords = config.passwords.clone();
        if !config.server.rate_limits {
            passwords.queue_per_network = usize::MAX;
        }
        let services = Self {
            tasks: Data::new(tasks.clone()),
            envelope: Data::new(Envelope {
                public_url: public_url.as_str().into(),
                https: public_url.starts_with("https:"),
                shutdown: Arc::default(),
            }),
            proxies: Data::new(TrustedProxies(trusted_proxies.clone())),
            fallback: Data::new(Fallback::new(&document)),
            document: Data::new(document::Document::new(&document, config.server.api_docs)),
            swagger_ui: config.server.api_docs.then_some(config.profile),
            limits: limits.clone(),
            connections: Arc::new(Connections::of_api(&config.server, config.database.pool_size)),
            requests: config.server.metrics_bind.map(|_| Data::new(Requests::new(&document))),
            clock: Data::new(clock.clone()),
            db: Data::new(db.clone()),
            hasher: Data::new(Hasher::start(&passwords, &tasks)?),
            policy: Data::new(Policy::new(&config.mail.product_name, public_url)),
            jwt: Data::new(Jwt::new(keys.clone(), clock.clone(), public_url, &config.tokens)),
            keys: Data::from(keys),
            blocklist: Data::from(blocklist),
            activity: Data::new(Activity::default()),
            token_settings: Data::new(config.tokens.clone()),
            coins: Data::from(coins),
            mailing: auth::Mailing {
                db,
                mailer: Mailer::new(&config.mail)?,
                keys: challenge_keys.clone(),
                limits,
                app_url: config.mail.app_url.as_ref().unwrap_or(public_url).as_str().into(),
            },
            challenge_keys,
            accounts: Data::new(config.accounts),
            pages: Data::new(auth::Pages { product_name: config.mail.product_name.clone() }),
            wake,
            coin_settings: Data::new(config.coins.clone()),
            streams: Data::new(coins::Streams::default()),
            social_settings: Data::new(config.social.clone()),
            fingerprints: coins::social::Fingerprints::new(secret),
            cors_origins: cors_origins.clone(),
        };
        Ok((services, followers))
    }

    /// The application as one worker runs it.
    fn application(
        &self,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        > + use<>,
    > {
        let (mut app, _) = App::new().into_utoipa_app().configure(routes).split_for_parts();
        if let Some(requests) = &self.requests {
            app = app.app_data(requests.clone());
        }
        app.app_data(self.tasks.clone())
            .app_data(self.envelope.clone())
            .app_data(self.proxies.clone())
            .app_data(self.fallback.clone())
            .app_data(self.document.clone())
            .app_data(self.limits.clone())
            .app_data(self.clock.clone())
            .app_data(self.db.clone())
            .app_data(self.hasher.clone())
            .app_data(self.policy.clone())
            .app_data(self.keys.clone())
            .app_data(self.jwt.clone())
            .app_data(self.blocklist.clone())
            .app_data(self.activity.clone())
            .app_data(self.token_settings.clone())
            .app_data(self.challenge_keys.clone())
            .app_data(self.accounts.clone())
            .app_data(self.pages.clone())
            .app_data(self.coins.clone())
            .app_data(self.coin_settings.clone())
            .app_data(self.streams.clone())
            .app_data(self.social_settings.clone())
            .configure(|app| {
                if let Some(profile) = self.swagger_ui {
                    app.route("/apidocs", web::get().to(apidocs::to_apidocs));
                    app.service(apidocs::apidocs(profile == Profile::Development));
                }
            })
            .default_service(web::to(fallback))
            .wrap(Condition::new(!self.cors_origins.is_empty(), cors(&self.cors_origins)))
            .wrap(from_fn(envelope))
    }
}

fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, X_REQUEST_ID])
        .block_on_origin_mismatch(false)
        .max_age(3600);
    if origins.iter().any(|origin| origin == "*") {
        return cors.allow_any_origin().send_wildcard();
    }
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
