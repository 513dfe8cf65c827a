"""What schemathesis cannot derive from the document: accounts that are logged in, and rules that no schema expresses.

FUZZ_AS is the role of the caller, MINTAGE_COMMAND the command line that creates admins on the server under test. The
operations that succeeded at least once are written to the file REACHED at the end.
"""

import atexit
import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
import uuid

import schemathesis

BASE = os.environ["MINTAGE_URL"]
ROLE = os.environ["FUZZ_AS"]
PASSWORD = "correct horse battery staple"

# Requests that end the session or the account get an account of their own, so that the others keep theirs.
ENDING = {
    ("DELETE", "/api/v1/user"),
    ("POST", "/api/v1/auth/logout"),
    ("DELETE", "/api/v1/auth/sessions/{id}"),
    ("POST", "/api/v1/auth/password/change/confirm"),
}

local = threading.local()
succeeded = set()


@schemathesis.hook
def after_call(context, case, response):
    # The coverage phase also sends methods that the path does not have.
    if response.status_code < 300 and case.method.upper() == case.operation.method.upper():
        succeeded.add(case.operation.label)


@atexit.register
def write_succeeded():
    with open(os.environ["REACHED"], "w", encoding="utf-8") as file:
        file.writelines(f"{operation}\n" for operation in sorted(succeeded))


def request(method, path, body=None, token=None):
    """Returns the status and the body."""
    headers = {"content-type": "application/json"} if body is not None else {}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    call = urllib.request.Request(BASE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def new_token():
    email = f"{uuid.uuid4()}@example.com"
    account = {"email": email, "password": PASSWORD}
    if ROLE == "admin":
        command = [*json.loads(os.environ["MINTAGE_COMMAND"]), "create-admin", "--email", email, "--password-stdin"]
        subprocess.run(command, input=PASSWORD, text=True, check=True, capture_output=True, timeout=60)
    else:
        status, text = request("POST", "/api/v1/auth/register", account)
        assert status == 201, text
    status, text = request("POST", "/api/v1/auth/login", account)
    assert status == 200, text
    return json.loads(text)["access_token"]


@schemathesis.auth(refresh_interval=None)
class Account:
    def get(self, case, context):
        if (case.method.upper(), context.operation.path) in ENDING:
            return new_token()
        # Another request may have disabled or deleted the account.
        token = getattr(local, "token", None)
        if token is None or request("GET", "/api/v1/user", token=token)[0] != 200:
            local.token = new_token()
        return local.token

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()


# Codes of a 422 that any field may get for data that the schema allows: no text may contain U+0000.
BEYOND_SCHEMAS_ANYWHERE = {"control-character"}
# Fields with such codes of their own.
BEYOND_SCHEMAS = {
    # Only a mail has a valid one.
    ("code", "invalid"),
    ("token", "invalid"),
    # Lists of words, and of names in one parameter.
    ("password", "common"),
    ("new_password", "common"),
    # Another field.
    ("password", "personal"),
    ("new_password", "personal"),
    ("fields", "unknown-field"),
    ("username", "reserved"),
    # Properties of characters.
    ("name", "invisible"),
    # The time, the settings, another field.
    ("expires_at", "range"),
    ("from", "range"),
    ("to", "range"),
    ("coin", "unknown"),
    ("currency", "currency"),
    ("currency", "not-applicable"),
    ("email", "email-or-username"),
    ("token", "token-or-code"),
    ("hysteresis", "range"),
    ("threshold", "range"),
    # Only the value of the portfolio has no coin, and only amounts have a currency.
    ("coin", "required"),
    ("coin", "not-applicable"),
    # Until today.
    ("day", "range"),
    ("disabled_reason", "disabled"),
}


@schemathesis.check
def valid_data_is_accepted(ctx, response, case):
    """As positive_data_acceptance, but a 422 is a failure too unless it gives a reason that no schema expresses."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    status = response.status_code
    if status < 400 or status in (401, 403, 404, 409, 412, 429) or status >= 500:
        return
    url = response.request.url
    # A link of the stateful phase that found no id puts None into the path. PostgreSQL's text cannot hold U+0000.
    if status == 400 and ("/None" in url or "%00" in url):
        return
    # Random bytes are no picture.
    if status == 415 and case.operation.path.endswith("/avatar"):
        return
    # No schema expresses what a file of users or transactions looks like.
    if status in (415, 422) and case.operation.path.endswith("/import"):
        return
    problem = response.json()
    # The errors of OAuth name no field.
    if case.operation.path.startswith("/oauth/") and problem.get("error") == "invalid_request":
        return
    # For headers with a pattern, the coverage phase makes up a 0 that does not match it.
    if problem.get("code") == "malformed-header" and response.request.headers.get("If-Match") == "0":
        return
    # The key was sent before, with another body.
    if problem.get("code") == "idempotency-key-reused":
        return
    errors = problem.get("errors", []) if status == 422 else []
    reasons = {(error["pointer"].strip("/"), error["code"]) for error in errors}
    unexplained = {(field, code) for field, code in reasons - BEYOND_SCHEMAS if code not in BEYOND_SCHEMAS_ANYWHERE}
    assert reasons and not unexplained, f"valid data was refused: {status} {reasons} {response.text}"
