//! What the server remembers, with the real binary: conversations, documents and keys survive its end.

mod real_server;

use real_server::{Server, binary, model};
use serde_json::{Value, json};

const KNOWLEDGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/knowledge");

fn kill(mut server: Server) {
    server.child.kill().unwrap(); // SIGKILL
    server.child.wait().unwrap();
}

#[test]
fn a_killed_server_has_lost_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("server.db");
    let store = store.to_str().unwrap();
    let Some(server) = Server::remembering(store, &["--knowledge", KNOWLEDGE]) else { return };
    let (status, answer) = server.post("/v1/ask", &json!({"question": "What does express delivery cost?"}));
    assert_eq!(status, 200, "{answer}");
    let (session, turn) = (answer["session"].as_str().unwrap(), answer["id"].as_str().unwrap());
    let (status, _) =
        server.post(&format!("/v1/turns/{turn}/feedback"), &json!({"rating": -1, "remark": "slow"}));
    assert_eq!(status, 200);
    let pass =
        json!({"title": "Boat pass", "text": "The boat pass costs £17.25 a season and is sold at the pier."});
    assert_eq!(server.post("/v1/documents", &pass).0, 201);
    kill(server);

    let server = Server::remembering(store, &["--knowledge", KNOWLEDGE]).unwrap();
    let conversation = server.get(&format!("/v1/sessions/{session}"));
    let messages = conversation["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{conversation}");
    assert_eq!(messages[1]["answer"]["answer"], answer["answer"]);
    assert_eq!(messages[1]["feedback"]["remark"], "slow");
    // A follow-up knows what the session is about.
    let (_, next) =
        server.post("/v1/ask", &json!({"question": "and when does it arrive?", "session": session}));
    assert!(next["searched"].as_str().unwrap().starts_with("What does express delivery cost?"), "{next}");
    // What was added over HTTP is there too, and goes when it is deleted.
    let question = json!({"question": "How much is the boat pass?"});
    let (_, answer) = server.post("/v1/ask", &question);
    assert!(answer["answer"].as_str().unwrap().contains("£17.25"), "{answer}");
    let document = answer["context"][0]["document"].as_str().unwrap().to_string();
    let deleted = ureq::delete(format!("http://{}/v1/documents/{document}", server.address)).call().unwrap();
    assert_eq!(deleted.status(), 200);
    let (_, answer) = server.post("/v1/ask", &question);
    assert!(!answer["answer"].as_str().unwrap().contains("£17.25"), "{answer}");
}

#[test]
fn with_a_key_nobody_is_let_in_without_one() {
    if model().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("server.db");
    let store = store.to_str().unwrap();
    // Others can reach no server without keys.
    let open = binary().args(["--host", "0.0.0.0", "--port", "0", "--store", store]).output().unwrap();
    assert!(String::from_utf8_lossy(&open.stderr).contains("server keys add"), "{open:?}");
    let key = |role: &str| {
        let made = binary()
            .args(["keys", "--store", store, "add", "--name", role, "--role", role])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_string()
    };
    let (client, admin) = (key("client"), key("admin"));
    let server = Server::remembering(store, &["--knowledge", "none"]).unwrap();
    let get = |path: &str, key: Option<&str>| {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request = agent.get(format!("http://{}{path}", server.address));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().unwrap();
        let status = response.status().as_u16();
        let body: Value =
            serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap_or_default();
        (status, body)
    };
    assert_eq!(get("/v1/models", None).0, 401);
    assert_eq!(get("/v1/models", Some("hearth_wrong")).0, 401);
    assert_eq!(get("/v1/models", Some(&client)).0, 200);
    assert_eq!(get("/v1/keys", Some(&client)).0, 403);
    let (status, keys) = get("/v1/keys", Some(&admin));
    assert_eq!(status, 200);
    assert!(!keys.to_string().contains(&client) && keys["data"].as_array().unwrap().len() == 2);
    assert_eq!(get("/health", None).0, 200);
}

#[test]
fn a_server_begins_without_documents_and_answers_from_the_first_one() {
    let folder = tempfile::tempdir().unwrap();
    let (knowledge, store) = (folder.path().join("knowledge"), folder.path().join("server.db"));
    std::fs::create_dir(&knowledge).unwrap();
    let knowledge = ["--knowledge", knowledge.to_str().unwrap()];
    let Some(server) = Server::remembering(store.to_str().unwrap(), &knowledge) else { return };
    let question = json!({"question": "How much is the boat pass?"});
    assert_eq!(server.post("/v1/ask", &question).1["answered"], false);
    let pass =
        json!({"title": "Boat pass", "text": "The boat pass costs £17.25 a season and is sold at the pier."});
    assert_eq!(server.post("/v1/documents", &pass).0, 201);
    let (_, answer) = server.post("/v1/ask", &question);
    assert!(answer["answer"].as_str().unwrap().contains("£17.25"), "{answer}");
}
