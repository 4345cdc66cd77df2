//! The server binary with a real model: SmolLM2-135M-Instruct, whose file `SMOLLM2_GGUF` names.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The model's file.
pub fn model() -> Option<PathBuf> {
    let path = std::env::var_os("SMOLLM2_GGUF").filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        println!("skipped: SMOLLM2_GGUF is not set");
    }
    path
}

/// The program.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_server"))
}

/// A server of the real model on a free port; it is killed when this is dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    /// One that forgets what was said, with `arguments`.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        Self::remembering("none", arguments)
    }

    /// One that keeps what was said in the file `store`.
    pub fn remembering(store: &str, arguments: &[&str]) -> Option<Self> {
        let model = model()?;
        let mut child = binary()
            .args(["serve", "--port", "0", "--adapter", "none", "--store", store, "--model"])
            .arg(model)
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find_map(|line| Some(line.strip_prefix("listening on http://")?.to_string()));
        // The log has to be read on, or the server waits for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address: listening.expect("the server says where it listens") })
    }

    /// Status and JSON of a POST.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = agent.post(format!("http://{}{path}", self.address)).send_json(body).unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
    }

    /// JSON of a GET that succeeds.
    pub fn get(&self, path: &str) -> Value {
        let mut response = ureq::get(format!("http://{}{path}", self.address)).call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
