//! The interface over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use scall_gpu::run::{RecommendOptions, Scored};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::timeout::TimeoutLayer;

use super::engine::{Engine, Refusal};
use super::metrics::Gauge;
use super::wal::Event;
use crate::page;

/// What the service allows.
#[derive(Clone, Debug)]
pub struct Limits {
    pub body_bytes: usize,
    pub timeout: Duration,
    /// What `Authorization: Bearer` has to say.
    pub token: Option<String>,
}

#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    token: Option<Arc<str>>,
}

/// A refusal, as a client gets it.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, error) = self;
        let mut response = (status, Json(json!({"error": error}))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

type Answer = Result<Json<Value>, Refused>;

fn bad(error: impl std::fmt::Display) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error.to_string())
}

/// All routes.
pub fn router(engine: Arc<Engine>, limits: Limits) -> Router {
    let shared = Shared { engine, token: limits.token.map(Into::into) };
    let guarded = Router::new()
        .route("/events", post(events))
        .route("/segment", post(segment))
        .route("/recommend/{user}", get(recommend))
        .route("/similar/{item}", get(similar_items))
        .route("/similar-users/{user}", get(similar_users))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/", get(|| async { Html(page::served()) }))
        .fallback(|| async { Refused(StatusCode::NOT_FOUND, "there is nothing at this path".to_owned()) })
        .layer(from_fn_with_state(shared.clone(), authorised));
    Router::new()
        // For those who watch the service: without a token.
        .route("/health", get(health))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.timeout))
        .layer(from_fn_with_state(shared.clone(), counted))
        .with_state(shared)
}

async fn counted(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        shared.engine.counts.refused_requests.fetch_add(1, Ordering::Relaxed);
    }
    response
}

async fn authorised(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if let Some(token) = &shared.token {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("");
        if !same(given.as_bytes(), token.as_bytes()) {
            let refused = Refused(StatusCode::UNAUTHORIZED, "expected `Authorization: Bearer TOKEN`".to_owned());
            let mut response = refused.into_response();
            let bearer = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            return response;
        }
    }
    next.run(request).await
}

/// Compares in a time that does not tell where two tokens differ.
fn same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    user: Value,
    item: Value,
    time: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Wrapped { events: Vec<Sent> },
    List(Vec<Sent>),
}

/// Ids are texts; numbers are taken for their digits.
fn id(value: Value, what: &str, number: usize) -> Result<String, Refused> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(id) if id.is_u64() || id.is_i64() => Ok(id.to_string()),
        other => Err(bad(format!("event {number}: `{what}`: expected a text or a whole number, found {other}"))),
    }
}

fn parsed(headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<Event>, Refused> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
    let sent: Vec<Sent> = match kind.split(';').next().unwrap_or("").trim() {
        "application/x-ndjson" | "application/jsonl" => bytes
            .split(|&byte| byte == b'\n')
            .enumerate()
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(line, text)| {
                serde_json::from_slice(text).map_err(|error| bad(format!("line {}: {error}", line + 1)))
            })
            .collect::<Result<_, _>>()?,
        "application/json" => match serde_json::from_slice(bytes) {
            Ok(Body::Wrapped { events } | Body::List(events)) => events,
            Err(error) => {
                let expected = r#"{"events": [{"user": "ann", "item": "tea", "time": 1700000000}, ..]}"#;
                return Err(bad(format!("expected {expected}, found something else ({error})")));
            }
        },
        other => {
            let text = format!("expected application/json or application/x-ndjson, found {other}");
            return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
    };
    let event = |(number, Sent { user, item, time }): (usize, Sent)| {
        Ok((id(user, "user", number)?, id(item, "item", number)?, time.unwrap_or(now)))
    };
    sent.into_iter().enumerate().map(event).collect()
}

async fn events(State(shared): State<Shared>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Answer {
    let begin = Instant::now();
    let body = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    let events = parsed(&headers, &body)?;
    let accepted = events.len();
    if accepted == 0 {
        return Err(bad("expected at least one event, found none"));
    }
    let refused = |refusal| match refusal {
        Refusal::Wrong(error) => bad(error),
        Refusal::Busy => Refused(StatusCode::SERVICE_UNAVAILABLE, "too many events wait to be written".to_owned()),
        Refusal::Failed(error) => Refused(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let answer = shared.engine.take(events).map_err(refused)?.await;
    let stopped = |_| Refused(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping".to_owned());
    let rows = answer.map_err(stopped)?.map_err(refused)?;
    shared.engine.counts.events.add(begin.elapsed());
    Ok(Json(json!({"accepted": accepted, "rows": rows})))
}

/// Closes the segment that is open.
async fn segment(State(shared): State<Shared>) -> Response {
    shared.engine.close_segment();
    (StatusCode::ACCEPTED, Json(json!({"segment": "closes when what is learned now is done"}))).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    k: Option<u32>,
    /// `scores`
    with: Option<String>,
    among: Option<String>,
    without: Option<String>,
    #[serde(default)]
    known_items: bool,
}

fn listed(with: Option<&str>, entries: &[Scored<'_>]) -> Result<Value, Refused> {
    match with {
        None => Ok(entries.iter().map(|scored| Value::from(scored.name)).collect()),
        Some("scores") => Ok(entries.iter().map(|of| json!({"item": of.name, "score": of.score})).collect()),
        Some(other) => Err(bad(format!("`with`: expected scores, found {other}"))),
    }
}

async fn recommend(
    State(shared): State<Shared>,
    Path(user): Path<String>,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Answer {
    let begin = Instant::now();
    let Query(ask) = ask.map_err(|error| bad(error.body_text()))?;
    let list = |text: &Option<String>| -> Option<Vec<String>> {
        text.as_ref().map(|text| text.split(',').map(str::to_owned).collect())
    };
    let (among, without) = (list(&ask.among), list(&ask.without).unwrap_or_default());
    let among: Option<Vec<&str>> = among.as_ref().map(|names| names.iter().map(String::as_str).collect());
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let options = RecommendOptions {
        k: ask.k.unwrap_or(10),
        among: among.as_deref(),
        without: &without,
        known_items: ask.known_items,
    };
    let served = shared.engine.served();
    let lists = served.recommend_batch(&[&user], options).map_err(bad)?;
    let list = &lists[0];
    let items = listed(ask.with.as_deref(), &list.items)?;
    let answer = json!({"user": user, "known": list.known, "items": items});
    drop(lists);
    drop(served);
    shared.engine.counts.recommend.add(begin.elapsed());
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskSimilar {
    k: Option<u32>,
    with: Option<String>,
}

async fn similar_items(
    State(shared): State<Shared>,
    Path(item): Path<String>,
    ask: Result<Query<AskSimilar>, QueryRejection>,
) -> Answer {
    let begin = Instant::now();
    let Query(ask) = ask.map_err(|error| bad(error.body_text()))?;
    let served = shared.engine.served();
    if served.data().item_id(&item).is_none() {
        return Err(Refused(StatusCode::NOT_FOUND, format!("no item is named {item}")));
    }
    let entries = served.similar_items(&item, ask.k.unwrap_or(10)).map_err(bad)?;
    let items = listed(ask.with.as_deref(), &entries)?;
    shared.engine.counts.similar.add(begin.elapsed());
    Ok(Json(json!({"item": item, "items": items})))
}

async fn similar_users(
    State(shared): State<Shared>,
    Path(user): Path<String>,
    ask: Result<Query<AskSimilar>, QueryRejection>,
) -> Answer {
    let begin = Instant::now();
    let Query(ask) = ask.map_err(|error| bad(error.body_text()))?;
    let served = shared.engine.served();
    if served.data().user_id(&user).is_none() {
        return Err(Refused(StatusCode::NOT_FOUND, format!("no user is named {user}")));
    }
    let entries = served.similar_users(&user, ask.k.unwrap_or(10)).map_err(bad)?;
    let users = listed(ask.with.as_deref(), &entries)?;
    shared.engine.counts.similar.add(begin.elapsed());
    Ok(Json(json!({"user": user, "users": users})))
}

async fn health(State(shared): State<Shared>) -> Response {
    match shared.engine.trouble() {
        None => Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})).into_response(),
        Some(error) => {
            let body = Json(json!({"status": "trouble", "error": error}));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}

async fn status(State(shared): State<Shared>) -> Json<Value> {
    let engine = &shared.engine;
    let served = engine.served();
    let mut state = page::state(&engine.config, &served, &engine.profiles());
    drop(served);
    state["seconds"] = engine.begun.elapsed().as_secs_f64().into();
    state["waiting_events"] = engine.counts.waiting_events.load(Ordering::Relaxed).into();
    state["accepted_events"] = engine.counts.accepted_events.load(Ordering::Relaxed).into();
    state["recommendations"] = engine.counts.recommend.count().into();
    state["trouble"] = engine.trouble().into();
    Json(state)
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let engine = &shared.engine;
    let served = engine.served();
    let last = served.report().last();
    let of = |value: fn(&scall_gpu::SegmentReport) -> f64| last.map_or(0.0, value);
    let gauges = [
        Gauge("budget_bytes", "Bytes that the tables may hold.", of(|report| report.budget_bytes as f64)),
        Gauge("counted_bytes", "Bytes of the tables that the budget counts.", of(|of| of.counted_bytes as f64)),
        Gauge(
            "table_bytes",
            "All bytes of the tables that are asked.",
            served.model().embeddings().memory().total_bytes() as f64,
        ),
        Gauge("users", "Users of the stream.", served.data().user_count().into()),
        Gauge("items", "Items of the stream.", served.data().item_count().into()),
        Gauge("rows", "Rows of the stream.", served.data().len() as f64),
        Gauge("loss", "Loss at the end of the last segment.", of(|report| report.loss.into())),
        Gauge("ndcg_20", "NDCG@20 of the last segment among all items.", of(|of| of.all_candidates.at(20).ndcg)),
    ];
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], engine.counts.text(&gauges))
}
