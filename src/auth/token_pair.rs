//! Builds the response with an access token and a refresh token.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    http::Problem,
    tokens::{AccessToken, Grant, Jwt, Lifetimes},
};

/// A token response (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub struct TokenPair {
    /// For `Authorization: Bearer …`. A JWT that other services can verify with `/.well-known/jwks.json`.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.eyJpc3MiOiIuLi4ifQ.c2ln")]
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 600)]
    expires_in: i64,
    /// For `POST /api/v1/auth/refresh`; it works once.
    #[schema(example = "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.eyJpc3MiOiIuLi4ifQ.c2ln")]
    refresh_token: String,
    /// Seconds until the refresh token expires.
    #[schema(example = 43200)]
    refresh_expires_in: i64,
}

/// Signs both tokens of a grant.
pub(super) fn respond(jwt: &Jwt, grant: Grant, times: &Lifetimes) -> Result<HttpResponse, Problem> {
    let Grant { role, claims, issued_at, expires_at } = grant;
    let access = AccessToken {
        sub: claims.sub,
        sid: claims.sid,
        jti: Uuid::now_v7(),
        role,
        generation: claims.generation,
    };
    let pair = TokenPair {
        access_token: jwt.issue_access(access, times.now, times.access_expires_at)?,
        token_type: "Bearer",
        expires_in: (times.access_expires_at - times.now).num_seconds(),
        refresh_token: jwt.issue_refresh(claims, issued_at, expires_at)?,
        refresh_expires_in: (expires_at - times.now).num_seconds(),
    };
    Ok(HttpResponse::Ok().json(pair))
}
