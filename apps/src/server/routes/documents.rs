//! The knowledge base over HTTP: documents are listed, read, stored and deleted while it answers.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use rag::{Document, Metadata, MetadataFilter, RagError, StoredDocument};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{metadata, passage};
use super::blocking;
use super::query::Query;
use crate::error::ApiError;
use crate::http::auth::{Agent, Client, Require};
use crate::http::body::{self, JsonBody};
use crate::state::{AppState, Shared};

/// Longest file, in bytes.
pub const FILE_LIMIT: usize = 64 << 20;
/// Documents of a page of the list, at most.
const MOST_LISTED: usize = 500;
/// Passages of a search, at most.
const MOST_PASSAGES: usize = 100;

/// Which documents to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    #[serde(default)]
    query: String,
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

/// `GET /v1/documents`
pub async fn list(
    State(state): State<Shared>,
    _: Require<Agent>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let knowledge = state.knowledge()?;
    let limit = query.limit.unwrap_or(50).min(MOST_LISTED);
    let found = knowledge.documents(&query.query, query.offset, limit);
    Ok(Json(json!({
        "data": found.documents.iter().map(listed).collect::<Vec<_>>(),
        "total": found.total,
        "skipped": knowledge.retriever().store().skipped().iter().map(skipped).collect::<Vec<_>>(),
    })))
}

/// `GET /v1/documents/{id}`
pub async fn get(
    State(state): State<Shared>,
    _: Require<Agent>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let article = state.knowledge()?.document(&id).ok_or_else(|| missing(&id))?;
    Ok(Json(whole(&article)))
}

/// A document to be stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentBody {
    id: Option<String>,
    #[serde(default)]
    title: String,
    text: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    metadata: Metadata,
}

impl DocumentBody {
    fn document(self, id: String) -> Document {
        let Self { title, text, source, metadata, .. } = self;
        Document { id, title, text, source, metadata, ..Document::default() }
    }
}

/// `POST /v1/documents`
pub async fn add(
    State(state): State<Shared>,
    _: Require<Agent>,
    JsonBody(body): JsonBody<DocumentBody>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let id = match &body.id {
        Some(id) if id.trim().is_empty() => {
            return Err(ApiError::bad_request("the id is empty").with_param("id"));
        }
        Some(id) => id.clone(),
        None => state.new_id(),
    };
    store(state, body.document(id), StatusCode::CREATED).await
}

/// `PUT /v1/documents/{id}`
pub async fn put(
    State(state): State<Shared>,
    _: Require<Agent>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<DocumentBody>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    if body.id.as_ref().is_some_and(|other| *other != id) {
        let message = "the body names another id than the address";
        return Err(ApiError::bad_request(message).with_param("id"));
    }
    let status =
        if state.knowledge()?.document(&id).is_some() { StatusCode::OK } else { StatusCode::CREATED };
    store(state, body.document(id), status).await
}

async fn store(
    state: Shared,
    document: Document,
    status: StatusCode,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let place = state.asking.place()?;
    let turn = place.turn().await?;
    let article = blocking(move || {
        let _turn = turn;
        state.knowledge()?.upsert(document).map_err(refused)
    })
    .await?;
    Ok((status, Json(listed(&article))))
}

/// The name of an uploaded file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileQuery {
    name: String,
}

/// `POST /v1/documents/files?name=…`: the documents of one file.
pub async fn upload(
    State(state): State<Shared>,
    _: Require<Agent>,
    Query(FileQuery { name }): Query<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    state.knowledge()?;
    let bytes = body::read(&headers, body, FILE_LIMIT).await?;
    let place = state.asking.place()?;
    let turn = place.turn().await?;
    let upload = blocking(move || {
        let _turn = turn;
        state.knowledge()?.upsert_file(&name, bytes.into()).map_err(refused)
    })
    .await?;
    Ok((
        StatusCode::CREATED,
        Json(json!({
            "documents": upload.documents.iter().map(listed).collect::<Vec<_>>(),
            "skipped": upload.skipped.iter().map(skipped).collect::<Vec<_>>(),
        })),
    ))
}

/// `DELETE /v1/documents/{id}`
pub async fn delete(
    State(state): State<Shared>,
    _: Require<Agent>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let gone = id.clone();
    let was_there = blocking(move || state.knowledge()?.delete(&gone).map_err(refused)).await?;
    if !was_there {
        return Err(missing(&id));
    }
    Ok(Json(json!({"deleted": 1})))
}

/// A question to search for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchBody {
    question: String,
    limit: Option<usize>,
    #[serde(default)]
    filter: MetadataFilter,
}

/// `POST /v1/search`: the passages as the retriever ranks them.
pub async fn search(
    State(state): State<Shared>,
    _: Require<Client>,
    JsonBody(body): JsonBody<SearchBody>,
) -> Result<Json<Value>, ApiError> {
    super::ask::check_message("question", &body.question)?;
    let limit = body.limit.unwrap_or(10);
    if !(1..=MOST_PASSAGES).contains(&limit) {
        let message = format!("limit is {limit}; it must be from 1 to {MOST_PASSAGES}");
        return Err(ApiError::bad_request(message).with_param("limit"));
    }
    state.knowledge()?;
    let turn = state.asking.place()?.turn().await?;
    let start = std::time::Instant::now();
    let found = blocking(move || {
        let _turn = turn;
        let found = state.knowledge()?.search(&body.question, limit, &body.filter);
        found.map_err(|error| ApiError::failed("the search", error))
    })
    .await?;
    let ms = (start.elapsed().as_secs_f64() * 1e4).round() / 10.0;
    let shown = |(at, hit): (usize, &rag::Hit)| {
        let mut shown = passage(at + 1, hit);
        shown["rank"] = (at + 1).into();
        shown
    };
    Ok(Json(json!({
        "data": found.hits.iter().enumerate().map(shown).collect::<Vec<_>>(),
        "no_answer_probability": found.no_answer,
        "timings": {"search_ms": ms},
    })))
}

/// An article without its text.
fn listed(article: &StoredDocument) -> Value {
    let document = &article.document;
    json!({
        "id": document.id,
        "title": document.title,
        "source": document.source,
        "bytes": document.text.len(),
        "passages": article.passages,
        "updated": article.updated,
        "origin": article.origin.as_str(),
        "metadata": metadata(&document.metadata),
    })
}

fn whole(article: &StoredDocument) -> Value {
    let mut shown = listed(article);
    shown["text"] = article.document.text.clone().into();
    shown["html"] = crate::markdown::to_html(&article.document.text).into();
    shown
}

/// What was left out, and why.
fn skipped(error: &RagError) -> Value {
    let (file, reason) = error.file_and_reason();
    json!({"source": file.map(|file| file.display().to_string()), "reason": reason})
}

fn missing(id: &str) -> ApiError {
    ApiError::missing(format!("there is no document {id:?}"))
}

/// An error of what the client sent, or of the server.
fn refused(error: RagError) -> ApiError {
    match error {
        error @ (RagError::Io { .. }
        | RagError::Embedding { .. }
        | RagError::Engine(_)
        | RagError::Llama(_)) => ApiError::failed("storing the document", error),
        error => ApiError::bad_request(error.to_string()),
    }
}

impl AppState {
    /// An id for a document that brought none.
    fn new_id(&self) -> String {
        self.answer_id("doc")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Server, server};

    #[tokio::test]
    async fn a_document_counts_from_when_it_is_stored_until_it_is_deleted() {
        let server = server();
        let ask =
            async || server.post("/v1/ask", json!({"question": "What does the boat pass cost?"})).await.1;
        assert_eq!(ask().await["answered"], false);
        let body =
            json!({"id": "pass", "title": "Boat pass", "text": "The boat pass costs £17.25 a season."});
        let (status, stored) = server.post("/v1/documents", body).await;
        assert_eq!(
            (status.as_u16(), &stored["origin"], &stored["passages"]),
            (201, &json!("api"), &json!(1))
        );
        assert!(ask().await["answer"].as_str().unwrap().contains("£17.25"));
        let (_, listed) = server.get("/v1/documents?query=boat&limit=5").await;
        assert_eq!((&listed["total"], &listed["data"][0]["id"]), (&json!(1), &json!("pass")));
        let (_, whole) = server.get("/v1/documents/pass").await;
        assert_eq!(whole["text"], "The boat pass costs £17.25 a season.");
        let (_, found) = server.post("/v1/search", json!({"question": "boat pass", "limit": 2})).await;
        assert_eq!((&found["data"][0]["document"], &found["data"][0]["rank"]), (&json!("pass"), &json!(1)));
        assert_eq!(server.call("DELETE", "/v1/documents/pass").await.0, 200);
        assert_eq!(server.call("DELETE", "/v1/documents/pass").await.0, 404);
        assert_eq!(ask().await["answered"], false);
    }

    #[tokio::test]
    async fn a_file_is_read_by_its_name() {
        let server = server();
        let file = "# Lockers\n\nA locker costs £3 a day.\n".to_string();
        let response = server.send("/v1/documents/files?name=lockers.md", file).await;
        assert_eq!(response.status(), 201);
        let (_, answer) = server.post("/v1/ask", json!({"question": "What does a locker cost?"})).await;
        assert!(answer["answer"].as_str().unwrap().contains("£3"), "{answer}");
        for name in ["x.exe", ""] {
            let response = server.send(&format!("/v1/documents/files?name={name}"), "x".into()).await;
            assert_eq!(response.status(), 400, "{name}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_stored_says_why() {
        for (body, part) in [
            (json!({"title": "x"}), "missing field `text`"),
            (json!({"text": " "}), "text"),
            (json!({"text": "x", "colour": 1}), "unknown field `colour`"),
            (json!({"id": "", "text": "x"}), "the id is empty"),
        ] {
            let (status, answer) = server().post("/v1/documents", body).await;
            let message = answer["error"]["message"].as_str().unwrap().to_string();
            assert!(status.as_u16() == 400 && message.contains(part), "{message}");
        }
        let (status, _) = Server::without_knowledge().post("/v1/documents", json!({"text": "x"})).await;
        assert_eq!(status, 503);
    }
}
