//! Every kind of problem that the server answers with, one row each.

/// A kind of problem. Clients compare `code`, which never changes.
#[derive(Debug)]
pub struct Kind {
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// The meaning and the remedy, for its page. Text between backticks is code.
    pub help: &'static str,
    /// Further members of its example in the OpenAPI document.
    pub(super) example: Example,
}

#[derive(Debug)]
pub(super) enum Example {
    Plain,
    /// Pointer, code and message of the field to blame.
    Field(&'static str, &'static str, &'static str),
    /// Id, title and address of each choice.
    Choices(&'static [(i64, &'static str, &'static str)]),
}

macro_rules! kinds {
    ($($name:ident = $status:literal $code:literal, $title:literal, $help:literal $(, $example:expr)?;)*) => {
        $(pub const $name: Kind =
            Kind { code: $code, status: $status, title: $title, help: $help, example: kinds!(@ $($example)?) };)*
        pub const ALL: &[&Kind] = &[$(&$name),*];
    };
    (@) => { Example::Plain };
    (@ $example:expr) => { $example };
}

kinds! {
    AMBIGUOUS = 300 "ambiguous", "The name is ambiguous",
        "Several resources have this name (RFC 9110, section 15.4.1). Repeat the request with the `id` or `href` of one of `choices`. Requests that change something answer 409 `ambiguous-name` instead.",
        Example::Choices(&[
            (12, "Portal (PORTAL)", "/api/v1/coins/12"),
            (57, "Portal Gaming (PORTAL)", "/api/v1/coins/57"),
        ]);
    MALFORMED_JSON = 400 "malformed-json", "The body is not JSON",
        "The request body could not be parsed as UTF-8 JSON (RFC 8259). The detail says where parsing stopped.";
    MALFORMED_BODY = 400 "malformed-body", "The body cannot be read",
        "The body ended early, or it is not a form as `multipart/form-data` describes it (RFC 7578).";
    MALFORMED_QUERY = 400 "malformed-query", "The query string cannot be read",
        "A query parameter is unknown, repeated, not percent-encoded UTF-8 or not of its type. `errors` names the parameter.",
        Example::Field("/sort", "query", "unknown variant `size`");
    MALFORMED_PATH = 400 "malformed-path", "The path cannot be read",
        "A path parameter is not of its type, for example an id that is not a UUID.";
    MALFORMED_HEADER = 400 "malformed-header", "A header cannot be read",
        "A request header is not well-formed. The detail names the header.";
    MISSING_TOKEN = 401 "missing-token", "A bearer token is required",
        "Send `Authorization: Bearer <access_token>` (RFC 6750) with a token from `POST /api/v1/auth/login`.";
    INVALID_TOKEN = 401 "invalid-token", "The access token is not valid",
        "The token is malformed, was not issued by this server, or is not an access token. Log in again.";
    TOKEN_EXPIRED = 401 "token-expired", "The access token has expired",
        "Get a new one with `POST /api/v1/auth/refresh`.";
    TOKEN_REVOKED = 401 "token-revoked", "The session has ended",
        "The session of this token was logged out or ended. Log in again.";
    INVALID_API_KEY = 401 "invalid-api-key", "The API key is not valid",
        "The key is mistyped, was revoked or has expired, or its account is disabled or deleted; the detail says which. `GET /api/v1/user/api-keys` lists your keys.";
    INVALID_CREDENTIALS = 401 "invalid-credentials", "Email address, username or password is wrong",
        "The response is the same whether or not the account exists.";
    INVALID_REFRESH_TOKEN = 401 "invalid-refresh-token", "The refresh token is not valid",
        "The token is malformed, has expired, is not a refresh token, or its session has ended. Log in again.";
    REFRESH_TOKEN_REUSED = 401 "refresh-token-reused", "The refresh token was used before",
        "A refresh token can be used once. This one was exchanged before and its successor has been used, so one of the two may be stolen. The session has ended: log in again.";
    FORBIDDEN = 403 "forbidden", "Not allowed",
        "The token is valid, but its user is not allowed to do this.";
    INSUFFICIENT_SCOPE = 403 "insufficient-scope", "The API key does not allow this",
        "The key lacks the scope that the detail names, or the operation accepts no keys at all. Create a key with the scope, or use an access token.";
    REGISTRATION_CLOSED = 403 "registration-closed", "Registration is closed",
        "Accounts are made by invitation only, or not at all; the detail says which. `GET /api/v1/auth/registration` has the rules.";
    EMAIL_DOMAIN_NOT_ALLOWED = 403 "email-domain-not-allowed", "The domain of the email address is not allowed",
        "The service accepts addresses of some domains only. `GET /api/v1/auth/registration` lists them.",
        Example::Field("/email", "domain", "must be an address of a domain that this service accepts");
    WRONG_PASSWORD = 403 "wrong-password", "The password is wrong",
        "This action requires the current password, and the given one does not match.";
    RECENT_LOGIN_REQUIRED = 403 "recent-login-required", "A recent log-in is required",
        "The session began more than 15 minutes ago, and this needs a newer one. Log in again with `POST /api/v1/auth/login`; a refresh does not count.";
    EMAIL_UNCONFIRMED = 403 "email-unconfirmed", "The email address is not confirmed yet",
        "The password is right, but the email address has to be confirmed first: open the link in the mail or enter its code. `POST /api/v1/auth/confirm/resend` sends another mail.";
    ACCOUNT_DISABLED = 403 "account-disabled", "The account is disabled",
        "The password is right, but an admin has disabled the account.";
    CORS_REFUSED = 403 "cors-refused", "The page may not call this API",
        "A browser asked before a request of a page (preflight, CORS), and the origin, method or a header is not allowed; the detail says which. `CORS_ORIGINS` lists the origins.";
    NOT_FOUND = 404 "not-found", "Not found",
        "The resource does not exist, or it belongs to another account. Paths have no trailing slash.";
    METHOD_NOT_ALLOWED = 405 "method-not-allowed", "Method not allowed",
        "The path does not support this method. The `Allow` header lists the supported ones.";
    REQUEST_TIMEOUT = 408 "request-timeout", "The body took too long",
        "The request body was not complete within 10 seconds (a picture or an import of transactions: 30 seconds, an import of users: a minute).";
    AMBIGUOUS_NAME = 409 "ambiguous-name", "The name is ambiguous",
        "Several resources have this name, so nothing was changed. Repeat the request with the `id` of one of `choices`.",
        Example::Choices(&[
            (12, "Portal (PORTAL)", "/api/v1/coins/12"),
            (57, "Portal Gaming (PORTAL)", "/api/v1/coins/57"),
        ]);
    EMAIL_TAKEN = 409 "email-taken", "The email address is taken",
        "Another account has this address. Addresses are compared without regard to case.",
        Example::Field("/email", "taken", "is taken");
    USERNAME_TAKEN = 409 "username-taken", "The username is taken",
        "Another account has this username. Usernames are compared without regard to case.",
        Example::Field("/username", "taken", "is taken");
    LAST_ADMIN = 409 "last-admin", "The last admin cannot be removed",
        "No other admin can log in. Make another account an admin first, with `PATCH /api/v1/users/{id}` or `mintage create-admin`.";
    JOB_RUNNING = 409 "job-running", "The job is running",
        "The job is being run. Wait until the run has ended, at most 3 minutes, and repeat the request.";
    SYNC_OFF = 409 "sync-off", "There is nothing to sync",
        "`COINS_PROVIDERS` contains only the built-in demo data, which does not change.";
    NOT_APPLICABLE = 409 "not-applicable", "The account is in another state",
        "The action does not fit the status of the account; the detail says why.";
    LIMIT_REACHED = 409 "limit-reached", "The limit is reached",
        "An account can have a limited number of these; the detail states the limit. Delete one first.";
    HOLDINGS_EXCEEDED = 409 "holdings-exceeded", "A sale would be of more than is held",
        "A sale cannot be of more than was held on its day, after all transactions before it; the detail names the coin and the day. Record the purchase first, or delete the sale first.";
    IDEMPOTENCY_KEY_IN_USE = 409 "idempotency-key-in-use", "A request with this key is running",
        "Another request with the same `Idempotency-Key` is being carried out. Repeat yours after the number of seconds in `Retry-After`: it then gets the same response.";
    PRECONDITION_FAILED = 412 "precondition-failed", "The resource has changed",
        "`If-Match` does not match the current version. Read the resource again and repeat the change.";
    PAYLOAD_TOO_LARGE = 413 "payload-too-large", "The body is too large",
        "A JSON body or a form can have at most 64 KiB, a picture 2 MiB, an import of transactions 1 MiB, an import of users 16 MiB.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported-media-type", "The body has an unsupported type",
        "Send `Content-Type: application/json` without `Content-Encoding`. A picture must be PNG, JPEG, WebP or GIF by its content, whatever its name or type says.";
    VALIDATION_FAILED = 422 "validation-failed", "The request is not valid",
        "The request is well-formed, but values are missing, unknown or out of range. `errors` lists each with a JSON Pointer (RFC 6901).",
        Example::Field("/email", "email", "must be an email address");
    IDEMPOTENCY_KEY_REUSED = 422 "idempotency-key-reused", "The key was used with another body",
        "A request with this `Idempotency-Key` and another body was answered in the last 24 hours. Use a new key for each new request.";
    INVALID_IMAGE = 422 "invalid-image", "The picture cannot be used",
        "The file is damaged or incomplete, or it has more than 2048 × 2048 pixels. The detail says which.";
    INVALID_CODE = 422 "invalid-code", "The code or the link is not valid",
        "It is wrong, has expired, was used, was tried too often, or was replaced by a newer one. The response is the same whether or not the account exists. Request another mail.",
        Example::Field("/code", "invalid", "is wrong, expired or used up");
    TOO_MANY_REQUESTS = 429 "too-many-requests", "Too many requests",
        "Wait for the number of seconds in `Retry-After`.";
    INTERNAL_ERROR = 500 "internal-error", "Internal server error",
        "The server failed unexpectedly. Its log has the cause under the `request_id`.";
    UNAVAILABLE = 503 "unavailable", "Temporarily unavailable",
        "A service that this request needs, usually the database, is unavailable. Repeat the request after the number of seconds in `Retry-After`.";
    OVERLOADED = 503 "overloaded", "The server is overloaded",
        "A queue is full. Repeat the request after the number of seconds in `Retry-After`.";
}
