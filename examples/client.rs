//! A client of the API: signs in, runs a script, and prints what it printed.
//!
//! `client URL USER PASSWORD`, with a server that `automa serve` has started.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;

use reqwest::{Client, Response};
use serde_json::{Value, json};

/// The body of a success, or an error with what the problem document says.
async fn success(response: Response) -> Result<Value, Box<dyn Error>> {
    let status = response.status();
    let body: Value = response.json().await?;
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {body:#}").into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, username, password] = args.as_slice() else {
        return Err("usage: client URL USER PASSWORD".into());
    };
    let client = Client::builder().no_proxy().build()?;
    let credentials = json!({ "username": username, "password": password });
    let sign_in = client.post(format!("{url}/api/v1/auth/login")).json(&credentials);
    let tokens = success(sign_in.send().await?).await?;
    let token = tokens["access_token"].as_str().ok_or("there is no access token")?;

    // Answers as soon as the script has ended, and after 30 seconds at the latest.
    let submission = json!({
        "language": "python",
        "source": "import os\nprint('hello', os.environ['name'])",
        "parameters": { "name": username },
        "limits": { "wall_ms": 10_000 },
    });
    let submit = client.post(format!("{url}/api/v1/executions?wait=30"));
    let execution = success(submit.bearer_auth(token).json(&submission).send().await?).await?;
    print!("{}", execution["output"].as_str().unwrap_or_default());
    println!("{}: {}", execution["state"], execution["cause"]);
    Ok(())
}
