//! A minimal WebDriver client for one page, over a plain socket to a local chromedriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A browser with one window. Dropping it ends the browser.
pub(super) struct Driver {
    process: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Driver {
    /// Starts both; `None` if they are not installed.
    pub(super) fn start() -> Option<Driver> {
        let browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())?;
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let output = BufReader::new(process.stdout.take()?);
        let started = "started successfully on port ";
        let port = output.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once(started)?;
            port.trim_end_matches('.').parse().ok()
        })?;
        let profile = tempfile::tempdir().ok()?;
        let mut driver = Driver { process, port, session: String::new(), _profile: profile };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", driver._profile.path().display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": browser, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let answer = driver.call("/session", &capabilities);
        driver.session = format!("/session/{}", answer["sessionId"].as_str().expect("a session starts"));
        Some(driver)
    }

    /// Opens a page and waits until it is loaded.
    pub(super) fn open(&mut self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The result of a script, as text.
    pub(super) fn read(&mut self, script: &str) -> String {
        let answer = self.post("/execute/sync", &json!({ "script": script, "args": [] }));
        answer.as_str().unwrap_or_default().to_owned()
    }

    /// The value that a script passes to its callback, as text.
    pub(super) fn wait(&mut self, script: &str) -> String {
        let answer = self.post("/execute/async", &json!({ "script": script, "args": [] }));
        answer.as_str().unwrap_or_default().to_owned()
    }

    /// Moves the keyboard focus to an element.
    pub(super) fn focus(&mut self, selector: &str) {
        self.read(&format!("document.querySelector('{selector}').focus()"));
    }

    /// Presses keys where the keyboard is.
    pub(super) fn press(&mut self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }),
        );
    }

    /// Shows pages as a screen of this width would.
    pub(super) fn screen(&mut self, width: u32) {
        let screen = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Asks for dark or light colours.
    pub(super) fn colours(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// The findings of axe-core about the page, if it is installed.
    pub(super) fn violations(&mut self) -> Option<String> {
        let folder = std::env::var_os("MDETAG_READERS")?;
        let script = std::path::Path::new(&folder).join("npm/node_modules/axe-core/axe.min.js");
        let script = std::fs::read_to_string(script).ok()?;
        self.read(&script);
        Some(self.wait(
            "const done = arguments[0]; axe.run().then((found) => done(found.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 200)).join(' | ')).join('\\n')), (error) => done(String(error)))",
        ))
    }

    /// A screenshot of the window, as PNG in base64.
    pub(super) fn picture(&mut self) -> String {
        self.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
        let taken = self.devtools("Page.captureScreenshot", &json!({ "format": "png" }));
        taken["data"].as_str().unwrap_or_default().to_owned()
    }

    fn devtools(&mut self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// All messages of the browser.
    pub(super) fn console(&mut self) -> Vec<String> {
        let answer = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = answer.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn post(&mut self, command: &str, body: &Value) -> Value {
        let path = format!("{}{command}", self.session);
        self.call(&path, body)
    }

    fn call(&mut self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("the driver reads");
        let value: Value = serde_json::from_str(&body_of(stream)).unwrap_or_default();
        assert!(value["value"].get("error").is_none(), "{path}: {}", value["value"]["message"]);
        value["value"].clone()
    }
}

/// The body of an answer. The driver keeps connections open, so the length ends it.
fn body_of(stream: TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the driver answers whole");
    String::from_utf8_lossy(&body).into_owned()
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let session = &self.session;
            let _ =
                write!(stream, "DELETE {session} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
