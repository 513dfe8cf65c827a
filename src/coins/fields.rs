//! Selects members of coins: `?fields=price,social.sentiment`.

use std::{collections::HashMap, sync::LazyLock};

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Ref, Schema, Type},
    },
};

use super::body::{AbsentCoin, Provenance};
use crate::{
    http::Problem,
    market::{Coin, Quote, Snapshot},
    social::Social,
};

/// The paths of all values of a coin, in the order of a table's columns; `social` stands for all paths below it.
static LEAVES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut schemas = Vec::new();
    <Coin as ToSchema>::schemas(&mut schemas);
    let mut leaves = Vec::new();
    collect_leaves(&Coin::schema(), "", &schemas.into_iter().collect(), &mut leaves);
    leaves
});

fn collect_leaves(
    schema: &RefOr<Schema>,
    path: &str,
    schemas: &HashMap<String, RefOr<Schema>>,
    leaves: &mut Vec<String>,
) {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().expect("a split has a last part");
            collect_leaves(&schemas[name], path, schemas, leaves);
        }
        RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
            for (name, inner) in &object.properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect_leaves(inner, &path, schemas, leaves);
            }
        }
        // An object or null.
        RefOr::T(Schema::OneOf(either)) => {
            let objects = either.items.iter().filter(|item| matches!(item, RefOr::Ref(_)));
            objects.for_each(|object| collect_leaves(object, path, schemas, leaves));
        }
        RefOr::T(_) => leaves.push(path.to_owned()),
    }
}

/// The member that a coin has only on request.
const SPARKLINE: &str = "sparkline_7d";
/// Members of every coin.
const ALWAYS: [&str; 2] = ["id", "symbol"];
const MAX_FIELDS: usize = 40;

/// The requested paths; without any, everything is selected.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<String>);

impl Fields {
    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// `validation-failed` for too many fields, or that names the first unknown one.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names.len() > MAX_FIELDS {
            return Err(Problem::invalid(
                "/fields",
                "length",
                format!("must name at most {MAX_FIELDS} fields"),
            ));
        }
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            let unknown: String = unknown.chars().take(60).collect();
            return Err(Problem::invalid("/fields", "unknown-field", format!("has no field `{unknown}`")));
        }
        Ok(Self(ALWAYS.iter().chain(&names).map(|name| (*name).to_owned()).collect()))
    }

    fn selects_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the columns of a table. `quote` repeats other columns and a sparkline is long, so these are included only on
    /// request.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        let wanted = |leaf: &&str| {
            self.selects_everything() && !covers("quote", leaf) && *leaf != SPARKLINE
                || self.0.iter().any(|name| covers(name, leaf))
        };
        LEAVES.iter().map(String::as_str).filter(wanted)
    }

    /// Reduces a coin of this snapshot to the selected members.
    pub fn of(&self, coin: &Coin, snapshot: &Snapshot) -> SparseCoin {
        SparseCoin(self.project(self.value(coin, snapshot), ""))
    }

    /// Returns all members of a coin of this snapshot, and its sparkline if that is selected.
    pub fn value(&self, coin: &Coin, snapshot: &Snapshot) -> Value {
        let value = if self.0.iter().any(|name| name == SPARKLINE) {
            serde_json::to_value(snapshot.with_sparkline(coin))
        } else {
            serde_json::to_value(coin)
        };
        value.expect("the types of the API serialise")
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

/// Whether the name selects at least one value. Names have at most two parts, so members of `social` are not split further.
fn is_known(name: &str) -> bool {
    name.matches('.').count() <= 1 && LEAVES.iter().any(|leaf| covers(name, leaf))
}

/// Whether `path` is `name` or lies below it.
fn covers(name: &str, path: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A coin with the members of `fields`; `id` and `symbol` are always included.
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

/// Returns the schema of an object of which only the members in `always` are required.
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
    /// Only with `watchlist=true`: watched coins of which the last sync has no data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<AbsentCoin>, required = false)]
    pub absent: Option<Vec<AbsentCoin>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_columns_of_a_table_are_the_values_of_the_schema_in_its_order() {
        let all: Vec<_> = Fields::default().columns().collect();
        let market = "id symbol name slug rank price volume_24h volume_change_24h percent_change_1h \
            percent_change_24h percent_change_7d percent_change_30d market_cap circulating_supply max_supply \
            high_24h low_24h ath ath_at image tags updated_at social.sentiment social.sentiment_basic \
            social.sentiment_crypto social.sentiment_crypto_interval.low social.sentiment_crypto_interval.high \
            social.lexicon social.coverage.sentiment social.coverage.sentiment_crypto \
            social.interval.low social.interval.high social.standard_deviation";
        assert!(all.join(" ").starts_with(market), "{all:?}");
        let last = ["sources", "query", "as_of", "updated_at", "stale"].map(|name| format!("social.{name}"));
        assert!(all.ends_with(&last.each_ref().map(String::as_str)), "{all:?}");
        assert_eq!(all.len(), 65);
        let quote: Vec<_> = Fields::parse("quote").expect("known").columns().collect();
        assert_eq!(quote[..4], ["id", "symbol", "quote.currency", "quote.price"]);
        assert_eq!(quote.len(), 15);
    }

    #[test]
    fn only_the_named_members_are_kept() {
        let value = json!({"id": 1, "symbol": "B", "price": 2, "rank": 1, "social": {"sentiment": 0.1, "interval": {"low": 0}, "as_of": "x"}});
        let kept = |text: &str| Fields::parse(text).expect("known").project(value.clone(), "");
        assert_eq!(kept("price"), json!({"id": 1, "symbol": "B", "price": 2}));
        assert_eq!(kept("social"), json!({"id": 1, "symbol": "B", "social": value["social"]}));
        let social = json!({"sentiment": 0.1, "interval": {"low": 0}});
        assert_eq!(
            kept("social.sentiment, social.interval"),
            json!({"id": 1, "symbol": "B", "social": social})
        );
        assert!(Fields::parse("soc").is_err() && Fields::parse("social.sent").is_err());
    }
}
