//! Which parts of a coin an answer has: `?fields=price,social.sentiment`.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{AdditionalProperties, AnyOfBuilder, ObjectBuilder, OneOfBuilder, Ref, Schema, Type},
    },
};

use super::body::{CoinList, Provenance};
use crate::{
    http::Problem,
    market::{Coin, Quote},
    social::Social,
};

/// Every value of a coin, in the order of columns; a part of a path stands for all below it.
const LEAVES: [&str; 40] = [
    "id",
    "symbol",
    "name",
    "slug",
    "rank",
    "price",
    "volume_24h",
    "volume_change_24h",
    "percent_change_1h",
    "percent_change_24h",
    "percent_change_7d",
    "market_cap",
    "quote.currency",
    "quote.price",
    "quote.volume_24h",
    "quote.volume_change_24h",
    "quote.percent_change_1h",
    "quote.percent_change_24h",
    "quote.percent_change_7d",
    "quote.market_cap",
    "social.sentiment",
    "social.sentiment_basic",
    "social.interval.low",
    "social.interval.high",
    "social.standard_deviation",
    "social.shares.positive",
    "social.shares.neutral",
    "social.shares.negative",
    "social.sample_size",
    "social.confidence",
    "social.posts_per_hour",
    "social.posts_per_hour_interval.low",
    "social.posts_per_hour_interval.high",
    "social.popularity",
    "social.missing.sentiment",
    "social.missing.interval",
    "social.missing.posts_per_hour",
    "social.missing.popularity",
    "social.sources",
    "social.as_of",
];
/// These are always there.
const ALWAYS: [&str; 2] = ["id", "symbol"];
const MOST: usize = 40;

/// What was asked for; empty stands for everything.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<String>);

impl Fields {
    /// # Errors
    /// `validation-failed` that names what is unknown.
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = text else {
            return Ok(Self::default());
        };
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names.len() > MOST {
            return Err(Problem::invalid("/fields", "length", format!("must name at most {MOST} fields")));
        }
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            let unknown: String = unknown.chars().take(60).collect();
            return Err(Problem::invalid("/fields", "unknown-field", format!("has no field `{unknown}`")));
        }
        Ok(Self(ALWAYS.iter().chain(&names).map(|name| (*name).to_owned()).collect()))
    }

    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The values that a table has columns for; none twice, unless they were asked for.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        let wanted = |leaf: &&str| {
            self.is_all() && !covers("quote", leaf) || self.0.iter().any(|name| covers(name, leaf))
        };
        LEAVES.into_iter().filter(wanted)
    }

    pub fn of(&self, coin: &Coin) -> SparseCoin {
        let value = serde_json::to_value(coin).expect("the API's types serialise");
        SparseCoin(if self.is_all() { value } else { self.project(value, "") })
    }

    fn project(&self, value: Value, path: &str) -> Value {
        let Value::Object(members) = value else {
            return value;
        };
        let mut kept = Map::new();
        for (name, value) in members {
            let path = format!("{path}{name}");
            if self.0.iter().any(|wanted| covers(wanted, &path)) {
                kept.insert(name, value);
            } else if self.0.iter().any(|wanted| covers(&path, wanted)) {
                kept.insert(name, self.project(value, &format!("{path}.")));
            }
        }
        Value::Object(kept)
    }
}

/// Of what is within `social`, whole members only.
fn is_known(name: &str) -> bool {
    name.matches('.').count() <= 1 && LEAVES.iter().any(|leaf| covers(name, leaf))
}

/// Whether `path` is `name` or lies below it.
fn covers(name: &str, path: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A coin with the members that were asked for; `id` and `symbol` are always there.
#[derive(Serialize)]
#[serde(transparent)]
pub struct SparseCoin(pub Value);

impl PartialSchema for SparseCoin {
    fn schema() -> RefOr<Schema> {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        let social = OneOfBuilder::new().item(null).item(Ref::from_schema_name("SparseSocial"));
        let quote = RefOr::Ref(Ref::from_schema_name("SparseQuote"));
        let inner = [("quote", quote), ("social", Schema::OneOf(social.build()).into())];
        sparse(Coin::schema(), &ALWAYS, inner)
    }
}

impl ToSchema for SparseCoin {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("SparseQuote".into(), sparse(Quote::schema(), &[], [])));
        schemas.push(("SparseSocial".into(), sparse(Social::schema(), &[], [])));
        <Coin as ToSchema>::schemas(schemas);
    }
}

/// The schema of an object of which only some members are there.
fn sparse<const N: usize>(
    schema: RefOr<Schema>,
    always: &[&str],
    inner: [(&str, RefOr<Schema>); N],
) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else {
        return schema;
    };
    object.required = always.iter().map(|name| (*name).to_owned()).collect();
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    object.properties.extend(inner.map(|(name, schema)| (name.to_owned(), schema)));
    Schema::Object(object).into()
}

#[derive(Serialize, ToSchema)]
pub struct SparseCoinList {
    #[serde(flatten)]
    pub provenance: Provenance,
    pub data: Vec<SparseCoin>,
}

/// For the document: what a list of coins looks like, with and without `fields`.
pub struct EitherCoinList;

impl PartialSchema for EitherCoinList {
    fn schema() -> RefOr<Schema> {
        let names = [CoinList::name(), SparseCoinList::name()];
        let either = names
            .into_iter()
            .fold(AnyOfBuilder::new(), |either, name| either.item(Ref::from_schema_name(name.into_owned())));
        Schema::AnyOf(either.build()).into()
    }
}

impl ToSchema for EitherCoinList {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        <CoinList as ToSchema>::schemas(schemas);
        schemas.push((CoinList::name().into(), CoinList::schema()));
        <SparseCoinList as ToSchema>::schemas(schemas);
        schemas.push((SparseCoinList::name().into(), SparseCoinList::schema()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the schema lists is what can be asked for and what a table has.
    #[test]
    fn every_member_has_its_name_here() {
        let members = |schema: RefOr<Schema>| match schema {
            RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect::<Vec<_>>(),
            _ => panic!("an object"),
        };
        for name in members(Coin::schema()) {
            assert!(is_known(&name), "{name}");
        }
        for name in members(Social::schema()) {
            assert!(is_known(&format!("social.{name}")), "social.{name}");
        }
    }

    #[test]
    fn only_what_was_named_is_kept() {
        let value = json!({"id": 1, "symbol": "B", "price": 2, "rank": 1, "social": {"sentiment": 0.1, "interval": {"low": 0}, "as_of": "x"}});
        let kept = |text: &str| Fields::parse(Some(text)).expect("known").project(value.clone(), "");
        assert_eq!(kept("price"), json!({"id": 1, "symbol": "B", "price": 2}));
        assert_eq!(kept("social"), json!({"id": 1, "symbol": "B", "social": value["social"]}));
        let social = json!({"sentiment": 0.1, "interval": {"low": 0}});
        assert_eq!(
            kept("social.sentiment, social.interval"),
            json!({"id": 1, "symbol": "B", "social": social})
        );
        assert!(Fields::parse(Some("soc")).is_err() && Fields::parse(Some("social.sent")).is_err());
    }
}
