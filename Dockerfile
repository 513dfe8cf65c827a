FROM rust:1.95-slim-trixie AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpq-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies alone, with empty sources: this layer lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
RUN mkdir src bench/src \
    && echo 'fn main() {}' >src/main.rs \
    && cp src/main.rs bench/src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY askama.toml .env.example ./
COPY migrations migrations
COPY postman/mintage.postman_collection.json postman/
COPY src src
# What GET /version states; empty for none.
ARG MINTAGE_COMMIT
# Newer than the empty ones, whatever the times in the repository are.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked

FROM debian:trixie-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mintage \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/mintage
COPY --from=build /build/target/release/mintage /usr/local/bin/mintage
ENV PROFILE=production BIND=0.0.0.0:8080 STORAGE_URL=/var/lib/mintage/pictures
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["mintage", "healthcheck"]
ENTRYPOINT ["mintage"]
