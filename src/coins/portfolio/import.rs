//! Answers `POST /api/v1/user/portfolio/import`: records the transactions of a file.

use std::{collections::HashMap, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header,
    post,
    web::{Data, Payload},
};
use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SubsecRound, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    super::{find, view::View},
    body::{check_range, default_currency, parse_day},
    csv::COLUMNS,
    decimal::Decimal,
    model::{Kind, Transaction},
    store::{self, Change, MAX_COINS, MAX_TRANSACTIONS},
};
use crate::{
    clock::Clock,
    db::{self, CoinId, Db},
    http::{
        BodyDigest, BodyLimits, Problem, Query,
        import::{Mistake, Mistakes, Numbered, read_csv},
        kind,
    },
    idempotency::{IdempotencyKey, Reply},
    tokens::{Allowed, Sealer, api_keys::PortfolioWrite},
};

/// In bytes: 5,000 of the longest lines.
const MAX_FILE: usize = 1024 * 1024;
const LIMITS: BodyLimits =
    BodyLimits { size: MAX_FILE, time: Duration::from_secs(30), cut_off: &kind::MALFORMED_BODY };

/// What the transaction of the largest file may take, on a slow disk.
const MAX_TIME: Duration = Duration::from_secs(30);
/// Names of a coin that a file may use: its id, slug and symbol.
const MAX_NAMES: usize = 3 * MAX_COINS;
const REQUIRED: [&str; 5] = ["day", "kind", "coin", "amount", "total"];

type Services = (Data<View>, Data<Db>, Data<Clock>, Data<Sealer>);

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportTransactions {
    /// Whether to delete all other transactions: the file then is the whole portfolio.
    #[serde(default)]
    #[param(default = false)]
    replace: bool,
}

/// A table of transactions. The first line names the columns.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 1_048_576,
    example = "day,kind,coin,amount,total,currency\r\n2026-03-01,buy,bitcoin,0.25,15000.00,GBP\r\n")]
#[expect(dead_code, reason = "only documented")]
pub struct TransactionFile(String);

/// What an import did.
#[derive(Serialize, ToSchema)]
pub struct TransactionImport {
    /// Transactions that were recorded.
    #[schema(example = 12, minimum = 0)]
    recorded: usize,
}

/// The values of a line, as they were written.
#[derive(Deserialize)]
struct Line {
    day: String,
    kind: String,
    coin: String,
    amount: String,
    total: String,
    currency: Option<String>,
}

/// Import transactions
///
/// Records the transactions of a CSV file with a heading: all or none. A file with errors is refused, and `errors` lists
/// the first 100 with the number of the line and the field as `pointer`, such as `/17/amount`. At most 1 MiB.
///
/// The columns: `day`, `kind`, `coin`, `amount`, `total` (all required), `currency`, and `symbol`, which is ignored. Their
/// rules are those of `POST /user/portfolio/transactions`; a file from `GET /user/portfolio/transactions.csv` can be
/// imported as it is.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ImportTransactions,
        ("Idempotency-Key" = Option<String>, Header,
            description = "A new value for each file, such as a UUID. An import that is repeated with the same value, file \
                and parameters within 24 hours gets the same response and records nothing twice."),
    ),
    request_body(description = "The file.", content((TransactionFile = "text/csv"))),
    responses(
        (status = 201, description = "The transactions are recorded.", body = TransactionImport,
            headers(("Idempotency-Replayed" = bool, description = "`true` if an earlier response is repeated."))),
        (status = 400, description = "`malformed-body`: the body ended early."),
        (status = 409, description = "`holdings-exceeded`; `limit-reached`; `idempotency-key-in-use`."),
        (status = 413, description = "`payload-too-large`: more than 1 MiB."),
        (status = 415, description = "`unsupported-media-type`: not `text/csv`."),
        (status = 422, description = "`validation-failed`: nothing was recorded; `idempotency-key-reused`.")
    )
)]
#[post("/user/portfolio/import")]
pub async fn import_transactions(
    me: Allowed<PortfolioWrite>,
    req: HttpRequest,
    query: Query<ImportTransactions>,
    body: Payload,
    services: Services,
) -> Result<HttpResponse, Problem> {
    let (view, db, clock, sealer) = services;
    check_type(&req)?;
    let file = LIMITS.read(&req, body.into_inner()).await?;
    let whole = [req.query_string().as_bytes(), b"\n", &file].concat();
    req.extensions_mut().insert(BodyDigest(digest(&SHA256, &whole).as_ref().to_vec()));
    let key = IdempotencyKey::of(&req, me.id)?;
    let now = clock.now();
    let currency = default_currency(me.id, &view, &db).await?;
    let lines: Vec<Numbered<Line>> =
        read_csv(&file, &COLUMNS, &REQUIRED)?.take(MAX_TRANSACTIONS + 1).collect();
    if lines.len() > MAX_TRANSACTIONS {
        return Err(
            Problem::new(&kind::LIMIT_REACHED).detail(format!("at most {MAX_TRANSACTIONS} transactions"))
        );
    }
    let coins = find_coins(&lines, &view, &db).await?;
    let transactions = Reader { view: &view, coins, currency, now }.read(lines)?;
    let recorded = transactions.len();
    let change = Change::Import { transactions, replaces: query.0.replace };
    let import = move |conn: &mut PgConnection| {
        store::apply(conn, me.id, change)?;
        Reply::created(&TransactionImport { recorded }, None)
    };
    let sealer = sealer.into_inner();
    let reply = db.tx(move |conn| key.once(conn, &sealer, now, import));
    Ok(db::within_time(MAX_TIME, reply).await?.respond())
}

fn check_type(req: &HttpRequest) -> Result<(), Problem> {
    let mime = req.mime_type().ok().flatten();
    let is_csv = mime.is_some_and(|mime| mime.essence_str() == "text/csv");
    if !is_csv || req.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(&kind::UNSUPPORTED_MEDIA_TYPE).detail("send `text/csv`"));
    }
    Ok(())
}

/// Finds the coins that the lines name. A name that is not found is absent; one of several coins has no id.
async fn find_coins(
    lines: &[Numbered<Line>],
    view: &View,
    db: &Db,
) -> Result<HashMap<String, Result<CoinId, Mistake>>, Problem> {
    let mut coins = HashMap::new();
    for (_, line) in lines {
        let Ok(Line { coin, .. }) = line else { continue };
        if coins.contains_key(coin) {
            continue;
        }
        if coins.len() == MAX_NAMES {
            return Err(Problem::new(&kind::LIMIT_REACHED).detail(format!("at most {MAX_COINS} coins")));
        }
        let found = match find::in_body(view, db, coin).await {
            Ok(id) => Ok(id),
            Err(problem) if problem.kind().status == 422 => {
                Err(Mistake::new("coin", "unknown", "must name a known coin"))
            }
            Err(problem) if problem.kind().code == kind::AMBIGUOUS_NAME.code => {
                Err(Mistake::new("coin", "ambiguous", "is the name of several coins: use the id"))
            }
            Err(problem) => return Err(problem),
        };
        coins.insert(coin.clone(), found);
    }
    Ok(coins)
}

/// Checks the lines of a file.
struct Reader<'a> {
    view: &'a View,
    coins: HashMap<String, Result<CoinId, Mistake>>,
    /// Of lines without a currency.
    currency: String,
    now: DateTime<Utc>,
}

impl Reader<'_> {
    fn read(&self, lines: Vec<Numbered<Line>>) -> Result<Vec<Transaction>, Problem> {
        let (mut transactions, mut mistakes) = (Vec::with_capacity(lines.len()), Mistakes::default());
        for (number, line) in lines {
            match line.and_then(|line| self.transaction(&line)) {
                Ok(transaction) => transactions.push(transaction),
                Err(mistake) => mistakes.add(number, mistake),
            }
        }
        if mistakes.is_empty() { Ok(transactions) } else { Err(mistakes.problem()) }
    }

    fn transaction(&self, line: &Line) -> Result<Transaction, Mistake> {
        let number = |field: &str, text: &str| {
            text.parse::<Decimal>().map_err(|message| Mistake::new(field, "type", message))
        };
        let day = parse_day(&line.day).map_err(|message| Mistake::new("day", "type", message))?;
        let kind: Kind =
            line.kind.parse().map_err(|_| Mistake::new("kind", "type", "must be buy or sell"))?;
        let coin = self.coins[&line.coin].clone()?;
        let (amount, total) = (number("amount", &line.amount)?, number("total", &line.total)?);
        check_range(&amount, day, self.now)
            .map_err(|(field, message)| Mistake::new(field, "range", message))?;
        let currency = match &line.currency {
            Some(code) => self.view.code(Some(code)).map_err(|problem| {
                let message = problem.errors().first().map(|error| error.message.to_string());
                Mistake::new("currency", "currency", message.unwrap_or_default())
            })?,
            None => self.currency.clone(),
        };
        let created_at = self.now.trunc_subsecs(6);
        Ok(Transaction { id: Uuid::now_v7(), coin, kind, amount, total, currency, day, created_at })
    }
}
