// @generated automatically by Diesel CLI.

diesel::table! {
    alerts (id) {
        id -> Uuid,
        user_id -> Uuid,
        coin_id -> Nullable<Int8>,
        metric -> Text,
        currency -> Nullable<Text>,
        direction -> Text,
        threshold -> Float8,
        hysteresis -> Float8,
        once -> Bool,
        armed -> Bool,
        created_at -> Timestamptz,
        crossed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    api_key_usage (key_id, day) {
        key_id -> Uuid,
        day -> Date,
        requests -> Int8,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Uuid,
        user_id -> Uuid,
        name -> Text,
        prefix -> Text,
        secret_hash -> Bytea,
        scopes -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    audit_chains (id) {
        id -> Int4,
        sealed_key -> Bytea,
        pruned_seq -> Int8,
        pruned_hash -> Bytea,
        last_seq -> Int8,
        last_hash -> Bytea,
        mac -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    blocklist (session_id) {
        session_id -> Uuid,
        expires_at -> Timestamptz,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    budgets (key) {
        key -> Bytea,
        free_at -> Timestamptz,
    }
}

diesel::table! {
    challenges (id) {
        id -> Uuid,
        purpose -> Text,
        user_id -> Nullable<Uuid>,
        registration_id -> Nullable<Uuid>,
        email -> Text,
        email_canonical -> Text,
        token_hash -> Nullable<Bytea>,
        code_hash -> Nullable<Bytea>,
        tries -> Int2,
        created_at -> Timestamptz,
        code_expires_at -> Nullable<Timestamptz>,
        expires_at -> Timestamptz,
        consumed_at -> Nullable<Timestamptz>,
        session_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    coin_backfills (coin_id, currency, step_seconds) {
        coin_id -> Int8,
        currency -> Text,
        step_seconds -> Int4,
        attempts -> Int4,
        retry_at -> Timestamptz,
        busy_until -> Timestamptz,
        done_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    coin_catalogue (provider, provider_coin_id) {
        provider -> Text,
        provider_coin_id -> Text,
        symbol -> Text,
        name -> Text,
        slug -> Text,
        rank -> Nullable<Int4>,
    }
}

diesel::table! {
    coin_history (coin_id, currency, step_seconds, at) {
        coin_id -> Int8,
        currency -> Text,
        step_seconds -> Int4,
        at -> Timestamptz,
        open -> Nullable<Float8>,
        high -> Nullable<Float8>,
        low -> Nullable<Float8>,
        close -> Nullable<Float8>,
        volume_24h -> Nullable<Float8>,
        market_cap -> Nullable<Float8>,
        sentiment -> Nullable<Float8>,
        popularity -> Nullable<Float8>,
        samples -> Int4,
        volume_24h_samples -> Int4,
        market_cap_samples -> Int4,
        sentiment_samples -> Int4,
        popularity_samples -> Int4,
        sources -> Array<Nullable<Text>>,
    }
}

diesel::table! {
    coin_quotes (snapshot_id, coin_id) {
        snapshot_id -> Int8,
        coin_id -> Int8,
        rank -> Int4,
        price -> Nullable<Float8>,
        volume_24h -> Nullable<Float8>,
        volume_change_24h -> Nullable<Float8>,
        percent_change_1h -> Nullable<Float8>,
        percent_change_24h -> Nullable<Float8>,
        percent_change_7d -> Nullable<Float8>,
        market_cap -> Nullable<Float8>,
        sentiment -> Nullable<Float8>,
        popularity -> Nullable<Float8>,
        updated_at -> Nullable<Timestamptz>,
        percent_change_30d -> Nullable<Float8>,
        circulating_supply -> Nullable<Float8>,
        max_supply -> Nullable<Float8>,
        high_24h -> Nullable<Float8>,
        low_24h -> Nullable<Float8>,
        ath -> Nullable<Float8>,
        ath_at -> Nullable<Timestamptz>,
        is_listed -> Bool,
    }
}

diesel::table! {
    coin_refs (provider, provider_coin_id) {
        provider -> Text,
        provider_coin_id -> Text,
        coin_id -> Int8,
    }
}

diesel::table! {
    coin_rollups (step_seconds) {
        step_seconds -> Int4,
        done_until -> Timestamptz,
    }
}

diesel::table! {
    coin_snapshots (id) {
        id -> Int8,
        provider -> Text,
        currency -> Text,
        as_of -> Timestamptz,
        fetched_at -> Timestamptz,
        is_repeat -> Bool,
    }
}

diesel::table! {
    coin_social (coin_id) {
        coin_id -> Int8,
        as_of -> Timestamptz,
        social -> Jsonb,
    }
}

diesel::table! {
    coins (id) {
        id -> Int8,
        symbol -> Text,
        name -> Text,
        slug -> Text,
        named_by -> Text,
        image -> Nullable<Text>,
        tags -> Array<Nullable<Text>>,
    }
}

diesel::table! {
    global_figures (subject) {
        subject -> Text,
        next_read_at -> Timestamptz,
        source -> Nullable<Text>,
        as_of -> Nullable<Timestamptz>,
        figures -> Nullable<Jsonb>,
    }
}

diesel::table! {
    idempotency_keys (key) {
        key -> Bytea,
        fingerprint -> Bytea,
        response -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    job_schedules (name) {
        name -> Text,
        slot -> Timestamptz,
    }
}

diesel::table! {
    jobs (id) {
        id -> Uuid,
        kind -> Text,
        payload -> Jsonb,
        state -> Text,
        attempts -> Int4,
        max_attempts -> Int4,
        due_at -> Timestamptz,
        last_error -> Nullable<Text>,
        last_error_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    login_devices (user_id, network, program) {
        user_id -> Uuid,
        network -> Cidr,
        program -> Text,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    login_networks (user_id, network) {
        user_id -> Uuid,
        network -> Cidr,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    portfolio_transactions (id) {
        id -> Uuid,
        user_id -> Uuid,
        coin_id -> Int8,
        kind -> Text,
        amount -> Numeric,
        total -> Numeric,
        currency -> Text,
        day -> Date,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    provider_state (provider) {
        provider -> Text,
        failures -> Int4,
        retry_at -> Nullable<Timestamptz>,
        stopped -> Bool,
        last_success_at -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
        last_error_at -> Nullable<Timestamptz>,
        usage_day -> Nullable<Date>,
        used -> Int4,
        usage_month -> Nullable<Date>,
        used_in_month -> Int4,
    }
}

diesel::table! {
    rate_limits (key) {
        key -> Bytea,
        free_at -> Timestamptz,
        granted -> Int4,
    }
}

diesel::table! {
    refresh_tokens (session_id, generation) {
        session_id -> Uuid,
        generation -> Int4,
        id -> Uuid,
        issued_at -> Timestamptz,
        expires_at -> Timestamptz,
        rotated_at -> Nullable<Timestamptz>,
        reissues -> Int4,
    }
}

diesel::table! {
    registrations (id) {
        id -> Uuid,
        email -> Text,
        email_canonical -> Text,
        username -> Nullable<Text>,
        username_canonical -> Nullable<Text>,
        name -> Nullable<Text>,
        password_hash -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    security_events (id) {
        id -> Uuid,
        at -> Timestamptz,
        kind -> Text,
        actor -> Text,
        actor_id -> Nullable<Uuid>,
        user_id -> Nullable<Uuid>,
        session_id -> Nullable<Uuid>,
        address -> Nullable<Inet>,
        user_agent -> Nullable<Text>,
        details -> Jsonb,
        salt -> Nullable<Bytea>,
        erased_at -> Nullable<Timestamptz>,
        chain -> Nullable<Int4>,
        seq -> Nullable<Int8>,
        private_digest -> Nullable<Bytea>,
        hash -> Nullable<Bytea>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        remember -> Bool,
        user_agent -> Nullable<Text>,
        address -> Nullable<Inet>,
        generation -> Int4,
        seen_generation -> Int4,
        access_expires_at -> Timestamptz,
        refresh_expires_at -> Timestamptz,
        expires_at -> Timestamptz,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        state -> Text,
        private_key -> Bytea,
        created_at -> Timestamptz,
        retired_at -> Nullable<Timestamptz>,
        algorithm -> Text,
        promoted_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    simulation (is_only) {
        is_only -> Bool,
        scenario -> Text,
        speed -> Int8,
        seed -> Int8,
        began_at -> Timestamptz,
        is_complete -> Bool,
    }
}

diesel::table! {
    snapshot_rates (snapshot_id, currency) {
        snapshot_id -> Int8,
        currency -> Text,
        rate -> Float8,
        rated_at -> Timestamptz,
        percent_change_1h -> Nullable<Float8>,
        percent_change_24h -> Nullable<Float8>,
        percent_change_7d -> Nullable<Float8>,
        percent_change_30d -> Nullable<Float8>,
    }
}

diesel::table! {
    social_cursors (source, coin_id) {
        source -> Text,
        coin_id -> Int8,
        cursor -> Nullable<Text>,
        covered_since -> Timestamptz,
        covered_until -> Timestamptz,
        counted_posts -> Nullable<Float8>,
        counted_hours -> Nullable<Float8>,
    }
}

diesel::table! {
    social_hours (coin_id, source, step_seconds, at) {
        coin_id -> Int8,
        source -> Text,
        step_seconds -> Int4,
        at -> Timestamptz,
        posts -> Int8,
        authors -> Int8,
    }
}

diesel::table! {
    social_posts (coin_id, provider, post_hash) {
        coin_id -> Int8,
        provider -> Text,
        posted_at -> Timestamptz,
        text_hash -> Int8,
        compound -> Nullable<Float8>,
        basic -> Nullable<Float8>,
        post_hash -> Int8,
        author_hash -> Int8,
        near_hash -> Nullable<Int8>,
        thread_hash -> Nullable<Int8>,
        dropped -> Nullable<Text>,
        crypto -> Nullable<Float8>,
    }
}

diesel::table! {
    social_streams (source) {
        source -> Text,
        holder -> Uuid,
        lease_until -> Timestamptz,
        cursor -> Nullable<Int8>,
    }
}

diesel::table! {
    social_tries (source, coin_id) {
        source -> Text,
        coin_id -> Int8,
        tried_at -> Timestamptz,
    }
}

diesel::table! {
    sync_slots (slot) {
        slot -> Timestamptz,
        holder -> Uuid,
        lease_until -> Timestamptz,
        attempt -> Int4,
        finished_at -> Nullable<Timestamptz>,
        running -> Bool,
        requested -> Bool,
        provider -> Nullable<Text>,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Text,
        email_canonical -> Text,
        username -> Nullable<Text>,
        username_canonical -> Nullable<Text>,
        name -> Nullable<Text>,
        role -> Text,
        password_hash -> Text,
        version -> Int4,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        email_confirmed_at -> Nullable<Timestamptz>,
        email_changed_at -> Nullable<Timestamptz>,
        disabled_at -> Nullable<Timestamptz>,
        disabled_reason -> Nullable<Text>,
        deleted_at -> Nullable<Timestamptz>,
        purge_at -> Nullable<Timestamptz>,
        login_count -> Int4,
        current_login_at -> Nullable<Timestamptz>,
        current_login_address -> Nullable<Inet>,
        last_login_at -> Nullable<Timestamptz>,
        last_login_address -> Nullable<Inet>,
        avatar_hash -> Nullable<Text>,
    }
}

diesel::table! {
    watchlist (user_id, coin_id) {
        user_id -> Uuid,
        coin_id -> Int8,
        added_at -> Timestamptz,
    }
}

diesel::joinable!(alerts -> coins (coin_id));
diesel::joinable!(alerts -> users (user_id));
diesel::joinable!(api_key_usage -> api_keys (key_id));
diesel::joinable!(api_keys -> users (user_id));
diesel::joinable!(challenges -> registrations (registration_id));
diesel::joinable!(challenges -> users (user_id));
diesel::joinable!(coin_backfills -> coins (coin_id));
diesel::joinable!(coin_history -> coins (coin_id));
diesel::joinable!(coin_quotes -> coin_snapshots (snapshot_id));
diesel::joinable!(coin_quotes -> coins (coin_id));
diesel::joinable!(coin_refs -> coins (coin_id));
diesel::joinable!(coin_social -> coins (coin_id));
diesel::joinable!(login_devices -> users (user_id));
diesel::joinable!(login_networks -> users (user_id));
diesel::joinable!(portfolio_transactions -> coins (coin_id));
diesel::joinable!(portfolio_transactions -> users (user_id));
diesel::joinable!(refresh_tokens -> sessions (session_id));
diesel::joinable!(security_events -> audit_chains (chain));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(snapshot_rates -> coin_snapshots (snapshot_id));
diesel::joinable!(social_cursors -> coins (coin_id));
diesel::joinable!(social_hours -> coins (coin_id));
diesel::joinable!(social_posts -> coins (coin_id));
diesel::joinable!(social_tries -> coins (coin_id));
diesel::joinable!(watchlist -> coins (coin_id));
diesel::joinable!(watchlist -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    alerts,
    api_key_usage,
    api_keys,
    audit_chains,
    blocklist,
    budgets,
    challenges,
    coin_backfills,
    coin_catalogue,
    coin_history,
    coin_quotes,
    coin_refs,
    coin_rollups,
    coin_snapshots,
    coin_social,
    coins,
    global_figures,
    idempotency_keys,
    job_schedules,
    jobs,
    login_devices,
    login_networks,
    portfolio_transactions,
    provider_state,
    rate_limits,
    refresh_tokens,
    registrations,
    security_events,
    sessions,
    signing_keys,
    simulation,
    snapshot_rates,
    social_cursors,
    social_hours,
    social_posts,
    social_streams,
    social_tries,
    sync_slots,
    users,
    watchlist,
);
