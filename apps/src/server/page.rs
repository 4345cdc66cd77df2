//! The page: its files are in the binary.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use crate::error::ApiError;

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/assets/page");

/// Digests of the files by their paths, in quotation marks: what browsers ask again with.
static TAGS: LazyLock<HashMap<&'static str, HeaderValue>> = LazyLock::new(|| {
    let mut tags = HashMap::new();
    collect(&FILES, &mut tags);
    tags
});

fn collect(folder: &'static Dir, tags: &mut HashMap<&'static str, HeaderValue>) {
    for file in folder.files() {
        let digest = Sha256::digest(file.contents());
        let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        if let (Some(path), Ok(tag)) = (file.path().to_str(), HeaderValue::from_str(&format!("\"{hex}\""))) {
            tags.insert(path, tag);
        }
    }
    for folder in folder.dirs() {
        collect(folder, tags);
    }
}

/// The shell that every view is drawn into.
pub async fn shell(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

/// The frame of the widget.
pub async fn widget_frame(headers: HeaderMap) -> Response {
    file("widget.html", &headers)
}

/// The script that puts the widget on another site's page.
pub async fn widget_script(headers: HeaderMap) -> Response {
    file("widget.js", &headers)
}

/// A file of the page.
pub async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers)
}

/// A file, or that the browser has it already.
fn file(path: &str, asked: &HeaderMap) -> Response {
    let Some((file, tag)) = FILES.get_file(path).zip(TAGS.get(path)) else {
        return ApiError::not_found(&format!("/assets/{path}")).into_response();
    };
    // A new version of the server must not meet old scripts: browsers ask each time, and mostly get a 304.
    let caching =
        [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if asked.get(header::IF_NONE_MATCH) == Some(tag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let mut response = (caching, [(header::CONTENT_TYPE, media_type(path))], file.contents()).into_response();
    if path == "worker.js" {
        // It lies below /assets and keeps the shell of every view.
        response.headers_mut().insert("service-worker-allowed", HeaderValue::from_static("/"));
    }
    response
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use crate::testing::server;

    #[tokio::test]
    async fn the_page_and_its_files_are_served_and_not_sent_twice() {
        let server = server();
        for view in ["/", "/playground", "/knowledge", "/inbox", "/dashboard", "/settings"] {
            let response = server.request("GET", view, &[]).await;
            assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"));
            let html = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(String::from_utf8_lossy(&html).contains("/assets/app.js"), "{view}");
        }
        let response = server.request("GET", "/assets/app.js", &[]).await;
        assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
        let tag = response.headers()["etag"].to_str().unwrap().to_string();
        let again = server.request("GET", "/assets/app.js", &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), 304);
        let worker = server.request("GET", "/assets/worker.js", &[]).await;
        assert_eq!(worker.headers()["service-worker-allowed"], "/");
        for path in ["/assets/none.js", "/assets/../Cargo.toml", "/assets/%2e%2e/SOURCE.md"] {
            assert_eq!(server.request("GET", path, &[]).await.status(), 404, "{path}");
        }
    }
}
