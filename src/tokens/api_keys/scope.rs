//! What an API key allows.

use serde::{Deserialize, Serialize};
use strum::VariantArray;
use utoipa::ToSchema;

/// One thing that a key may allow.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Scope {
    #[serde(rename = "coins:read")]
    #[strum(serialize = "coins:read")]
    CoinsRead,
    #[serde(rename = "profile:read")]
    #[strum(serialize = "profile:read")]
    ProfileRead,
    #[serde(rename = "watchlist:read")]
    #[strum(serialize = "watchlist:read")]
    WatchlistRead,
    #[serde(rename = "watchlist:write")]
    #[strum(serialize = "watchlist:write")]
    WatchlistWrite,
    #[serde(rename = "alerts:read")]
    #[strum(serialize = "alerts:read")]
    AlertsRead,
    #[serde(rename = "alerts:write")]
    #[strum(serialize = "alerts:write")]
    AlertsWrite,
    #[serde(rename = "portfolio:read")]
    #[strum(serialize = "portfolio:read")]
    PortfolioRead,
    #[serde(rename = "portfolio:write")]
    #[strum(serialize = "portfolio:write")]
    PortfolioWrite,
    /// Only for keys of admins.
    #[serde(rename = "tokens:introspect")]
    #[strum(serialize = "tokens:introspect")]
    TokensIntrospect,
}

impl Scope {
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::VARIANTS.iter().map(|scope| scope.as_str())
    }

    /// Whether only admins can create keys with it. Such a key is revoked when its user stops being an admin.
    pub fn is_for_admins(self) -> bool {
        self == Self::TokensIntrospect
    }

    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// What an access token allows: all but what needs a key of an admin.
    pub fn of_access_tokens() -> Self {
        Scope::VARIANTS.iter().copied().collect::<Self>().without_those_for_admins()
    }

    pub fn without_those_for_admins(self) -> Self {
        self.iter().filter(|scope| !scope.is_for_admins()).collect()
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::VARIANTS.iter().copied().filter(move |scope| self.contains(*scope))
    }

    /// Reads the text of the database. A scope that only a later version knows is left out.
    pub fn read(text: &str) -> Self {
        text.split(' ').filter_map(|name| name.parse().ok()).collect()
    }

    /// The text of the database: names separated by spaces (RFC 6749 section 3.3).
    pub fn to_text(self) -> String {
        self.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// The scope that an endpoint requires of a key, as a type, so that it stands in the signature of its handler.
pub trait Permission: 'static {
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($name:ident)*) => {$(
        #[doc = concat!("Requires [`Scope::", stringify!($name), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Permission for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

permissions!(CoinsRead ProfileRead WatchlistRead WatchlistWrite AlertsRead AlertsWrite PortfolioRead PortfolioWrite);
// The scope `tokens:introspect` is required by [`Machine`](super::super::Machine), which accepts no access token.

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_survive_the_database_and_unknown_ones_allow_nothing() {
        let all: Scopes = Scope::VARIANTS.iter().copied().collect();
        assert_eq!(Scopes::read(&all.to_text()), all);
        for scope in Scope::VARIANTS {
            let one = Scopes::from_iter([*scope]);
            assert_eq!(one.iter().collect::<Vec<_>>(), [*scope]);
            assert_eq!(serde_json::to_value(scope).expect("JSON"), scope.as_str());
        }
        assert_eq!(Scopes::read("coins:write users:read"), Scopes::default());
    }
}
