//! `scall serve` over real HTTP.
#![cfg(all(unix, feature = "serve"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A service that runs, and is killed when it is dropped.
struct Service {
    child: Child,
    /// Kept open: a program whose reader has gone ends.
    _said: BufReader<ChildStdout>,
    address: String,
}

impl Service {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_scall"))
            .args(["serve", "--listen", "127.0.0.1:0", "--device", "cpu", "--checkpoint"])
            .arg(folder)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("serving  http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, _said: said, address }
    }

    /// Sends a request; returns status and body.
    fn raw(&self, request: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(format!("{request}host: test\r\nconnection: close\r\n").as_bytes())?;
        stream.write_all(format!("content-length: {}\r\n\r\n", body.len()).as_bytes())?;
        // A body that is too large is refused before all of it is read.
        let _ = stream.write_all(body);
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("no answer"))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or_else(|| std::io::Error::other("no status"))?, body.to_owned()))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.raw(&format!("GET {path} HTTP/1.1\r\n"), b"").unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    fn post(&self, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        let (status, body) = self.raw(&head, body.as_bytes())?;
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }

    fn segments(&self) -> usize {
        self.get("/status").1["segments"].as_array().unwrap().len()
    }

    /// Waits until this many segments are learned.
    fn wait(&self, segments: usize) {
        let begin = Instant::now();
        while self.segments() < segments {
            assert!(begin.elapsed() < Duration::from_secs(120), "{}", self.get("/status").1);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn terminate(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success() && self.child.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two tastes: users and items of one parity go together.
fn tastes(rows: std::ops::Range<u32>) -> String {
    let event = |row: u32| {
        let (user, item) = (row % 8, 2 * (row * 5 % 9) + row % 2);
        json!({"user": format!("u{user}"), "item": format!("i{item}"), "time": row})
    };
    json!({"events": rows.map(event).collect::<Vec<_>>()}).to_string()
}

/// A short run, as the service takes it where it begins.
fn config(dir: &Path) -> PathBuf {
    let path = dir.join("run.toml");
    std::fs::write(&path, "model = { steps = 20, batch = 128 }\n").unwrap();
    path
}

#[test]
fn it_learns_while_it_is_asked_and_goes_on_after_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, config) = (dir.path().join("kept"), config(dir.path()));
    let flags = ["--segment-events", "100", "--config", config.to_str().unwrap()];
    let service = Service::start(&folder, &flags);
    assert_eq!(service.get("/health"), (200, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})));
    assert_eq!(service.get("/recommend/u1").1, json!({"user": "u1", "known": false, "items": []}));

    // Whole segments: they are learned as they come.
    assert_eq!(service.post("/events", &tastes(0..100)).unwrap(), (200, json!({"accepted": 100, "rows": 100})));
    service.wait(1);
    service.post("/events", &tastes(100..200)).unwrap();
    service.wait(2);
    let (status, list) = service.get("/recommend/u1?k=4&with=scores&known_items=true");
    assert_eq!((status, &list["known"]), (200, &json!(true)));
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    assert!(items[0]["score"].as_f64() >= items[3]["score"].as_f64());
    assert_eq!(items[0]["item"].as_str().unwrap()[1..].parse::<u32>().unwrap() % 2, 1, "{list}");
    let (status, similar) = service.get("/similar/i4?k=3");
    assert_eq!((status, similar["items"].as_array().unwrap().len()), (200, 3));
    assert_eq!(service.get("/similar-users/u3?k=3").0, 200);

    // An event counts at once: a newcomer is known, and what was taken is offered no more.
    let best = list["items"][0]["item"].as_str().unwrap();
    let event =
        json!([{"user": "newcomer", "item": best, "time": 200}, {"user": 7, "item": "new / item", "time": 200}]);
    assert_eq!(service.post("/events", &event.to_string()).unwrap().1, json!({"accepted": 2, "rows": 202}));
    let (_, list) = service.get("/recommend/newcomer?k=100");
    assert_eq!(list["known"], true);
    let items = list["items"].as_array().unwrap();
    assert!(!items.iter().any(|item| item == best) && items.iter().any(|item| item == "new / item"), "{list}");
    assert_eq!(service.get("/similar/new%20%2F%20item").0, 200);

    let (_, status) = service.get("/status");
    assert_eq!((&status["waiting_events"], &status["rows"]), (&json!(2), &json!(202)));
    assert_eq!(status["profiles"].as_array().unwrap().len(), 2);
    let (_, metrics) = service.get("/metrics");
    let metrics = metrics.as_str().unwrap().to_owned();
    for line in ["scall_events_total 202", "scall_waiting_events 2", "scall_segment_seconds_count 2"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(service.get("/").1.as_str().unwrap().contains("<title>scall</title>"));

    let before = service.get("/recommend/u1?k=100&with=scores");
    service.terminate();
    let service = Service::start(&folder, &[]);
    assert_eq!(service.get("/recommend/u1?k=100&with=scores"), before);
    assert_eq!(service.get("/status").1["rows"], 202);
    // The segment that was open has its two events still.
    assert_eq!(service.get("/status").1["waiting_events"], 2);
    service.post("/segment", "").unwrap();
    service.wait(3);
}

#[test]
fn what_is_wrong_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    let folder = dir.path().join("kept");
    let service = Service::start(&folder, &["--token", token.to_str().unwrap(), "--max-body", "2000"]);
    let send = |method: &str, path: &str, kind: &str, body: &str| {
        let head =
            format!("{method} {path} HTTP/1.1\r\nauthorization: Bearer 0123456789abcdef\r\ncontent-type: {kind}\r\n");
        service.raw(&head, body.as_bytes()).unwrap()
    };
    let json = "application/json";
    assert_eq!(service.get("/health").0, 200);
    assert_eq!(service.get("/recommend/ann").0, 401);
    assert_eq!(service.raw("GET / HTTP/1.1\r\nauthorization: Bearer 0123456789abcdeX\r\n", b"").unwrap().0, 401);
    for (method, path, kind, body, status, said) in [
        ("POST", "/events", json, "{", 400, "expected"),
        ("POST", "/events", json, "[]", 400, "at least one"),
        ("POST", "/events", json, r#"[{"user": "a"}]"#, 400, "item"),
        ("POST", "/events", json, r#"[{"user": "a", "item": "b", "when": 3}]"#, 400, "expected"),
        ("POST", "/events", json, r#"[{"user": 1.5, "item": "b"}]"#, 400, "1.5"),
        ("POST", "/events", json, r#"[{"user": "", "item": "b"}]"#, 400, "user"),
        ("POST", "/events", json, r#"[{"user": "a", "item": "b", "time": -4}]"#, 400, "-4"),
        ("POST", "/events", "text/csv", "a,b", 415, "text/csv"),
        ("POST", "/events", "application/x-ndjson", "{\"user\":\"a\",\"item\":\"b\"}\n{\n", 400, "line 2"),
        ("POST", "/events", json, &" ".repeat(3000), 413, ""),
        ("GET", "/recommend/ann?k=0", json, "", 400, "k"),
        ("GET", "/recommend/ann?k=1000", json, "", 400, "k"),
        ("GET", "/recommend/ann?many=3", json, "", 400, "many"),
        ("GET", "/recommend/ann?with=love", json, "", 400, "love"),
        ("GET", "/recommend/ann?among=nothing", json, "", 400, "nothing"),
        ("GET", "/similar/nothing", json, "", 404, "nothing"),
        ("GET", "/nowhere", json, "", 404, "path"),
        ("PUT", "/events", json, "", 405, ""),
    ] {
        let (found, text) = send(method, path, kind, body);
        assert!(found == status && text.contains(said), "{method} {path} {body:.40}: {found} {text}");
    }
    let good = "{\"user\":\"a\",\"item\":\"b\"}\n\n{\"user\":\"c\",\"item\":\"b\"}\n";
    assert_eq!(send("POST", "/events", "application/x-ndjson", good).0, 200);
    // Nothing of what was refused has come in.
    let (_, text) = send("GET", "/status", json, "");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["rows"], 2);
}

/// Whatever was acknowledged is there after a kill, in the order in which it came.
#[test]
fn an_acknowledged_event_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, config) = (dir.path().join("kept"), config(dir.path()));
    let flags = ["--segment-events", "40", "--config", config.to_str().unwrap()];
    let mut acknowledged = 0u64;
    for round in 0..5u32 {
        let service = Service::start(&folder, &flags);
        let rows = service.get("/status").1["rows"].as_u64().unwrap();
        assert!(rows >= acknowledged, "round {round}: {rows} of {acknowledged} acknowledged events are there");
        // An event may have been written and not acknowledged: it counts from here on.
        acknowledged = rows;
        let pid = service.child.id().to_string();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150 + u64::from(round) * 130));
            Command::new("kill").args(["-KILL", &pid]).status().unwrap()
        });
        for row in (acknowledged as u32).. {
            match service.post("/events", &tastes(row..row + 1)) {
                Ok((200, answer)) => {
                    acknowledged += 1;
                    assert_eq!(answer["rows"], acknowledged);
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
        killer.join().unwrap();
    }
    assert!(acknowledged > 50, "{acknowledged}");
    let service = Service::start(&folder, &flags);
    assert!(service.get("/status").1["rows"].as_u64().unwrap() >= acknowledged);
}
