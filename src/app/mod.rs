//! Assembles the application: the only room that knows all services, routes, jobs and background tasks, and the order
//! of start and stop.

mod apidocs;
mod background;
mod connections;
mod cors;
mod document;
mod downloads;
mod health;
mod housekeeping;
mod jobs;
mod listen;
mod metrics;

mod serve;
mod well_known;

use std::sync::Arc;

use actix_web::{
    App, Error,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Condition, from_fn},
    web::{self, Data},
};
use anyhow::Result;
use tokio::sync::Semaphore;
use utoipa_actix_web::{AppExt, scope, service_config::ServiceConfig};

use self::{
    connections::Connections,
    cors::{Origins, cors, open_public},
    downloads::Downloads,
    well_known::WellKnown,
};
pub use self::{
    document::{document, document_30},
    serve::Server,
};
use crate::{
    audit,
    auth::{self, Auth, MailContext, challenges::ChallengeKeys},
    clock::Clock,
    coins::{self, AlertLinks, AlertMailContext},
    config::{self, Config, Profile, Secret, SecretKey, Specs},
    db::{Db, Follow, Follower, LiveSchema, connect_patiently, migrate, naming_locks, rights, set_clock},
    home,
    http::{Envelope, Fallback, Requests, TrustedProxies, envelope, fallback, problem_page, problem_pages},
    jobs::Wake,
    limits::{LimitKeys, Limits},
    mail::{Mailer, SentMails, mailbox},
    market, pages,
    passwords::{Hasher, Policy},
    pictures::{self, Pictures},
    social::{self, Fingerprints},
    storage::Storage,
    tasks::Tasks,
    tokens::{self, Activity, ApiKeys, Blocklist, Jwt, KeyRing, Sealer},
    users,
};

/// The settings of all providers, for [`Config::load`].
pub fn specs() -> Specs {
    Specs {
        market: market::provider_specs(),
        social: social::provider_specs(),
        simulated: &market::SIMULATED_PROVIDERS,
    }
}

/// Registers every operation of the API. This also adds it to the OpenAPI document.
fn routes(config: &mut ServiceConfig) {
    // A request is compared with one route after the other, so the most frequent ones come first.
    let api = scope::scope("/api/v1")
        .configure(coins::routes)
        .configure(market::routes)
        .configure(auth::routes)
        .configure(users::routes)
        .configure(pictures::routes)
        .configure(audit::routes)
        .configure(crate::jobs::routes);
    config
        .service(api)
        .configure(tokens::routes)
        .configure(auth::oauth)
        .configure(pages::routes)
        .configure(coins::one_click)
        .configure(home::routes)
        .service(health::healthz)
        .service(health::readyz)
        .service(well_known::security_txt)
        .service(well_known::change_password_page)
        .service(downloads::openapi_json)
        .service(downloads::postman_json)
        .service(downloads::openapi_30_json)
        .service(problem_pages)
        .service(problem_page);
}

/// The services that handlers extract.
#[derive(Clone)]
struct Services {
    tasks: Data<Tasks>,
    envelope: Data<Envelope>,
    proxies: Data<TrustedProxies>,
    fallback: Data<Fallback>,
    downloads: Data<Downloads>,
    well_known: Data<WellKnown>,
    site: Data<home::Site>,
    /// None with `API_DOCS=off`.
    swagger_ui: Option<Profile>,
    /// None without `METRICS_BIND`: requests are counted only if the metrics can be read.
    requests: Option<Data<Requests>>,
    clock: Data<Clock>,
    db: Data<Db>,
    schema: Data<LiveSchema>,
    limits: Data<Limits>,
    keys: Data<KeyRing>,
    jwt: Data<Jwt>,
    blocklist: Data<Blocklist>,
    activity: Data<Activity>,
    api_keys: Data<ApiKeys>,
    /// Encrypts responses that are stored for repetition.
    sealer: Data<Sealer>,
    auth: Data<Auth>,
    pictures: Data<Pictures>,
    pages: Data<pages::Pages>,
    coins: Data<coins::View>,
    coin_settings: Data<config::Coins>,
    of_coins: coins::CoinServices,
    social_settings: Data<config::Social>,
    origins: Origins,
    /// The mails of this server; None in production and with a public address.
    mailbox: Option<Arc<SentMails>>,
}

/// The services that no handler extracts: connections, and those of background work.
struct Internals {
    connections: Arc<Connections>,
    mails: MailContext,
    alert_mails: AlertMailContext,
    wake: Arc<Wake>,
    sealer: Arc<Sealer>,
    fingerprints: Fingerprints,
}

impl Internals {
    fn new(
        config: &Config,
        secret: &SecretKey,
        mails: MailContext,
        of_coins: &coins::CoinServices,
        wake: Arc<Wake>,
        sealer: Arc<Sealer>,
    ) -> Self {
        let connections = Arc::new(Connections::of_api(config));
        let (db, mailer, links) = (mails.db.clone(), mails.mailer.clone(), AlertLinks::new(config));
        let keys = of_coins.end_keys.clone();
        let alert_mails = AlertMailContext { db, mailer, keys, links };
        Self { connections, mails, alert_mails, wake, sealer, fingerprints: Fingerprints::new(secret) }
    }
}

/// Connects, migrates and loads the data that is kept in memory. Blocks. The followers keep that data up to date until
/// they are dropped.
fn start(config: &Config, secret: &SecretKey, clock: &Clock) -> Result<(Services, Internals, [Follower; 2])> {
    let url = config.database.url.as_ref().expect("resolved before the start");
    let sealer = Arc::new(Sealer::new(secret));
    let (keys, schema) = prepare_database(url, config, &sealer, clock)?;
    let views = Views::new(keys, config, clock)?;
    let tasks = Tasks::default();
    let followers = views.follow(url, clock, &tasks)?;
    let Views { keys, api_keys, blocklist, coins, wake } = views;

    let public_url = &config.server.public_url;
    let document = document::document();
    let db = Db::new(url, config.database.pool_size, &tasks);
    let clock = Data::new(clock.clone());
    let limits = Data::new(limits(config, secret, &db, &clock));
    let jwt = Data::new(Jwt::new(keys.clone(), clock.get_ref().clone(), public_url, &config.tokens));
    let activity = Data::new(Activity::default());
    let auth = Auth {
        db: db.clone(),
        clock: clock.clone(),
        limits: limits.clone(),
        hasher: start_hasher(config, &tasks)?,
        policy: Policy::new(&config.mail.product_name, public_url),
        breaches: config.passwords.breach_url.as_deref().map(auth::Breaches::new),
        challenge_keys: Data::new(ChallengeKeys::new(secret)),
        sealer: sealer.clone(),
        jwt: jwt.clone(),
        blocklist: blocklist.clone(),
        activity: activity.clone(),
        api_keys: api_keys.clone(),
        imports: Arc::new(Semaphore::new(1)),
        keys: Data::from(keys.clone()),
        accounts: config.accounts.clone(),
        tokens: config.tokens.clone(),
    };
    let mails = mail_context(config, &auth)?;
    let services = Services {
        pictures: Data::new(start_pictures(config, &db, &clock, &limits)?),
        tasks: Data::new(tasks),
        envelope: Data::new(Envelope::new(public_url, config.profile == Profile::Development)),
        proxies: Data::new(TrustedProxies::new(&config.server)),
        fallback: Data::new(Fallback::new(&document)),
        downloads: Data::new(Downloads::new(public_url, config.server.api_docs)),
        well_known: Data::new(WellKnown::new(config)),
        site: Data::new(home::Site::new(config, mails.mailer.mailbox().is_some())),
        swagger_ui: config.server.api_docs.then_some(config.profile),
        requests: config.server.metrics_bind.map(|_| Data::new(Requests::new(&document))),
        clock,
        db: Data::new(db),
        schema: Data::new(schema),
        limits,
        keys: Data::from(keys),
        jwt,
        blocklist,
        activity,
        api_keys,
        sealer: Data::from(sealer.clone()),
        auth: Data::new(auth),
        pages: Data::new(pages::Pages::new(&config.mail)),
        coins,
        coin_settings: Data::new(config.coins.clone()),
        of_coins: coins::CoinServices::new(secret),
        social_settings: Data::new(config.social.clone()),
        origins: Origins::new(config),
        mailbox: mails.mailer.mailbox(),
    };
    let internals = Internals::new(config, secret, mails, &services.of_coins, wake, sealer);
    Ok((services, internals, followers))
}

/// The data that is kept in memory.
struct Views {
    keys: Arc<KeyRing>,
    api_keys: Data<ApiKeys>,
    blocklist: Data<Blocklist>,
    coins: Data<coins::View>,
    wake: Arc<Wake>,
}

impl Views {
    /// # Errors
    /// `COINS_IDENTITIES` cannot be read, or is no table of coins.
    fn new(keys: KeyRing, config: &Config, clock: &Clock) -> Result<Self> {
        let (settings, tokens) = (&config.coins, &config.tokens);
        let identities = market::Identities::configured(settings, &market::id_namespaces())?;
        Ok(Self {
            keys: Arc::new(keys),
            api_keys: Data::new(ApiKeys::new(tokens.api_key_rate)),
            blocklist: Data::new(Blocklist::new(clock.clone(), tokens.max_staleness)),
            coins: Data::new(coins::View::new(clock.clone(), settings, &config.social, identities)),
            wake: Arc::default(),
        })
    }

    /// Loads the data and keeps it up to date.
    fn follow(&self, url: &Secret, clock: &Clock, tasks: &Tasks) -> Result<[Follower; 2]> {
        let Self { keys, api_keys, blocklist, coins, wake } = self;
        // On one connection and the keys first, so that the keys, and API keys, are current whenever the blocklist is.
        let (api_keys, blocklist) = (api_keys.clone().into_inner(), blocklist.clone().into_inner());
        let tokens: Vec<Arc<dyn Follow>> = vec![keys.clone(), api_keys, blocklist, wake.clone()];
        // On a connection of their own: preparing coins in many currencies takes long, and must not delay log-outs.
        let coins: Vec<Arc<dyn Follow>> = vec![coins.clone().into_inner()];
        Ok([
            Follower::start("follow-tokens", url, clock, tokens, tasks)?,
            Follower::start("follow-coins", url, clock, coins, tasks)?,
        ])
    }
}

fn limits(config: &Config, secret: &SecretKey, db: &Db, clock: &Clock) -> Limits {
    let key = |purpose: &[u8]| tokens::derive_key(secret.current.expose().as_bytes(), purpose).to_vec();
    let keys = LimitKeys { budgets: key(b"budgets v1"), requests: key(b"rate limits v1") };
    Limits::new(config.rates.clone(), &keys, db.clone(), clock)
}

/// Migrates the database, creates the first keys and demonstration data in a new one, and reads the signing keys.
fn prepare_database(
    url: &Secret,
    config: &Config,
    sealer: &Arc<Sealer>,
    clock: &Clock,
) -> Result<(KeyRing, LiveSchema)> {
    let mut conn = connect_patiently(url, &config.database)?;
    set_clock(&mut conn, clock)?;
    naming_locks(url, &mut conn, |conn| {
        let applied = migrate::prepare(conn, &config.database)?;
        if let Some(newest) = applied.last() {
            tracing::info!(count = applied.len(), newest, "applied migrations");
        }
        if config.profile == Profile::Production && rights::is_owner(conn)? {
            tracing::warn!(
                "DATABASE_URL connects as the owner of the tables or a superuser: an injected statement could change \
                 the schema and the audit trail; `mintage database grant` prepares a role without these rights"
            );
        }
        tokens::create_if_absent(conn, sealer, config.tokens.algorithm, clock.now())?;
        audit::begin_if_absent(conn, sealer, clock.now())?;
        market::ensure_demo(conn, clock.now())?;
        let keys = KeyRing::load(conn, sealer.clone(), config.tokens.algorithm)?;
        Ok((keys, LiveSchema::load(conn)?))
    })
}

fn mail_context(config: &Config, auth: &Auth) -> Result<MailContext> {
    let mailbox = config.has_mailbox().then(Arc::default);
    let app_url = config.mail.app_url.as_ref().unwrap_or(&config.server.public_url);
    Ok(MailContext {
        db: auth.db.clone(),
        mailer: Mailer::new(&config.mail, mailbox)?,
        keys: auth.challenge_keys.clone(),
        limits: auth.limits.clone(),
        app_url: app_url.as_str().into(),
    })
}

fn start_pictures(config: &Config, db: &Db, clock: &Data<Clock>, limits: &Data<Limits>) -> Result<Pictures> {
    Ok(Pictures {
        db: db.clone(),
        clock: clock.clone(),
        limits: limits.clone(),
        storage: Arc::new(Storage::open(&config.storage)?),
        converter: pictures::Converter::default(),
    })
}

fn start_hasher(config: &Config, tasks: &Tasks) -> Result<Hasher> {
    let mut passwords = config.passwords.clone();
    if !config.rates.enabled {
        passwords.queue_per_network = usize::MAX;
    }
    Ok(Hasher::start(&passwords, tasks)?)
}

impl Services {
    /// Builds the application of one worker. Every service is named here, so that a service that is not registered is a
    /// compile error.
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
        let Self {
            tasks,
            envelope: envelope_settings,
            proxies,
            fallback: fallback_routes,
            downloads,
            well_known,
            site,
            swagger_ui,
            requests,
            clock,
            db,
            schema,
            limits,
            keys,
            jwt,
            blocklist,
            activity,
            api_keys,
            sealer,
            auth,
            pictures,
            pages,
            coins,
            coin_settings,
            of_coins,
            social_settings,
            origins,
            mailbox,
        } = self.clone();
        let (mut app, _) = App::new().into_utoipa_app().configure(routes).split_for_parts();
        if let Some(requests) = requests {
            app = app.app_data(requests);
        }
        app.app_data(tasks)
            .app_data(envelope_settings)
            .app_data(proxies)
            .app_data(fallback_routes)
            .app_data(downloads)
            .app_data(well_known)
            .app_data(site)
            .app_data(clock)
            .app_data(db)
            .app_data(schema)
            .app_data(limits)
            .app_data(keys)
            .app_data(jwt)
            .app_data(blocklist)
            .app_data(activity)
            .app_data(api_keys)
            .app_data(sealer)
            .app_data(auth)
            .app_data(pictures)
            .app_data(pages)
            .app_data(coins)
            .app_data(coin_settings)
            .app_data(social_settings)
            .configure(|app| of_coins.register(app))
            .configure(|app| undocumented_routes(app, swagger_ui, mailbox))
            .default_service(web::to(fallback))
            .wrap(Condition::new(!origins.is_none(), cors(&origins)))
            .wrap(from_fn(open_public))
            .wrap(from_fn(envelope))
    }
}

/// Registers the pages that are no part of the API, each if it is served at all.
fn undocumented_routes(
    app: &mut web::ServiceConfig,
    swagger_ui: Option<Profile>,
    mailbox: Option<Arc<SentMails>>,
) {
    if let Some(profile) = swagger_ui {
        app.route("/apidocs", web::get().to(apidocs::to_apidocs));
        app.service(apidocs::apidocs(profile == Profile::Development));
    }
    if let Some(mailbox) = mailbox {
        mailbox::routes(app, mailbox);
    }
}
