//! Chromium without a window, as a person would use it, and what it complains about.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::unistd::geteuid;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    User, command_of,
    host::{DEADLINE, PAUSE},
    public_dir,
    running::Running,
    tool,
};

/// Where screenshots are put, when this is set.
const SCREENSHOTS: &str = "AUTOMA_SCREENSHOTS";

/// What a person has chosen in the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Its name in CSS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// One tab. All that was started for it ends with it.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Running<'static>,
    /// Goes last.
    _home: TempDir,
}

impl Browser {
    /// Starts a browser that nobody has used before.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn open() -> Self {
        let home = public_dir();
        let driver = start_driver(&home);
        let port = loop {
            let line = driver.line();
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').to_owned();
            }
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&home));
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        Self { client, _driver: driver, _home: home }
    }

    /// Sets the size of what is seen, in CSS pixels, and the colours that are asked for. Nothing
    /// moves, so that colours are measured at rest.
    ///
    /// # Panics
    ///
    /// When the browser refuses.
    pub async fn view(&self, width: u32, scheme: Scheme) {
        let size = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false,
        });
        self.protocol("Emulation.setDeviceMetricsOverride", size).await;
        // As on phones, where they take no room.
        self.protocol("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme.name() },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]});
        self.protocol("Emulation.setEmulatedMedia", features).await;
    }

    /// Goes to an address and waits until it has loaded.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn goto(&self, url: &str) {
        // The driver may answer while the former page is still there, or none: that one is marked.
        self.evaluate("window.isFormer = true").await;
        self.client.goto(url).await.unwrap();
        let loaded = "return !window.isFormer && document.readyState === 'complete'";
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.client.execute(loaded, Vec::new()).await.ok() != Some(json!(true)) {
            assert!(tokio::time::Instant::now() < deadline, "{url} is not loaded");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where it is: path and query.
    ///
    /// # Panics
    ///
    /// When the browser does not know.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path())
    }

    /// Waits for the element that a CSS selector names.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub async fn find(&self, selector: &str) -> Element {
        let found = self.client.wait().at_most(DEADLINE).every(PAUSE);
        let found = found.for_element(Locator::Css(selector)).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("{selector}: {error}\n{}", self.text("body").await),
        }
    }

    /// Clicks on an element.
    ///
    /// # Panics
    ///
    /// When it is not there or covered.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        element.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Types into a field, in place of what is there.
    ///
    /// # Panics
    ///
    /// When it is no field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// What can be read in the first such element; nothing when there is none.
    ///
    /// # Panics
    ///
    /// When the browser is gone.
    pub async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.client.execute(script, vec![json!(selector)]).await.unwrap();
        text.as_str().unwrap().to_owned()
    }

    /// What a script says of the page.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn evaluate(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until such an element has this text in it.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub async fn shows(&self, selector: &str, text: &str) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let shown = self.text(selector).await;
            if shown.contains(text) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{selector} without {text:?}: {shown}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes a picture of the whole page, where pictures are wanted.
    ///
    /// # Panics
    ///
    /// When it cannot be taken.
    pub async fn screenshot(&self, name: &str) {
        let Some(directory) = std::env::var_os(SCREENSHOTS).map(PathBuf::from) else { return };
        fs::create_dir_all(&directory).unwrap();
        let script = "const page = document.documentElement;
            return { x: 0, y: 0, width: page.scrollWidth, height: page.scrollHeight, scale: 1 };";
        let clip = self.evaluate(script).await;
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.protocol("Page.captureScreenshot", wanted).await;
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }

    /// Asserts that nothing has to be scrolled sideways.
    ///
    /// # Panics
    ///
    /// When the page is wider than what is seen of it.
    pub async fn assert_fits(&self, page: &str) {
        let script = "
            const seen = document.documentElement.clientWidth;
            const wide = [...document.querySelectorAll('body *')]
                .filter(one => one.getBoundingClientRect().right > seen + 1)
                .map(one => one.outerHTML.slice(0, 100));
            return document.documentElement.scrollWidth > seen ? wide.slice(0, 5) : null;";
        let wide = self.evaluate(script).await;
        assert!(wide.is_null(), "{page} is wider than the window: {wide:#}");
    }

    /// Asserts that axe finds nothing that would keep somebody from using the page.
    ///
    /// # Panics
    ///
    /// When it does.
    pub async fn assert_accessible(&self, page: &str) {
        let axe = fs::read_to_string(tool("node_modules/axe-core/axe.min.js")).unwrap();
        self.evaluate(&axe).await;
        let script = "
            const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(
                found => done(found.violations.map(one => ({
                    rule: one.id, help: one.help,
                    nodes: one.nodes.map(node => [node.html.slice(0, 200), node.failureSummary]),
                }))),
                error => done(String(error)));";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        assert_eq!(found, json!([]), "{page}: {found:#}");
    }

    /// Asserts that the console has stayed empty since the last look: no errors, no warnings, no
    /// violations of the content security policy, nothing that could not be loaded.
    ///
    /// # Panics
    ///
    /// When something was said.
    pub async fn assert_quiet(&self, page: &str) {
        let said = self.said().await;
        assert!(said.is_empty(), "{page}: {said:#?}");
    }

    /// What the console has said since it was last asked.
    ///
    /// # Panics
    ///
    /// When the browser does not answer.
    pub async fn said(&self) -> Vec<String> {
        let said = self.client.issue_cmd(Vendor::ConsoleLog).await.unwrap();
        said.as_array().unwrap().iter().map(|it| it["message"].to_string()).collect()
    }

    /// A command of Chromium's own protocol.
    async fn protocol(&self, method: &'static str, parameters: Value) -> Value {
        self.client.issue_cmd(Vendor::Protocol(method, parameters)).await.unwrap()
    }
}

/// Starts the driver on a free port, in a process namespace: the browser's many processes end
/// with it, however it ends.
fn start_driver(home: &TempDir) -> Running<'static> {
    let mut command = command_of("/usr/bin/unshare".as_ref(), User::all()[0]);
    if !geteuid().is_root() {
        command.args(["--user", "--map-current-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["/usr/bin/chromedriver", "--port=0"]);
    // Nothing of whoever runs the tests is read or changed.
    command.env("HOME", home.path()).env("TMPDIR", home.path());
    Running::start(&mut command, None)
}

fn capabilities(home: &TempDir) -> Capabilities {
    let data = format!("--user-data-dir={}", home.path().join("profile").display());
    let args = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--lang=en",
        &data,
    ];
    let wanted = json!({
        "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": args },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    serde_json::from_value(wanted).unwrap()
}

/// What Chromium's driver can do beyond the standard.
#[derive(Debug)]
enum Vendor {
    Protocol(&'static str, Value),
    ConsoleLog,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(
        &self,
        base: &Url,
        session: Option<&str>,
    ) -> Result<Url, <Url as std::str::FromStr>::Err> {
        let path = match self {
            Self::Protocol(..) => "goog/cdp/execute",
            Self::ConsoleLog => "se/log",
        };
        base.join(&format!("session/{}/{path}", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = match self {
            Self::Protocol(method, parameters) => json!({ "cmd": method, "params": parameters }),
            Self::ConsoleLog => json!({ "type": "browser" }),
        };
        (Method::POST, Some(body.to_string()))
    }
}
