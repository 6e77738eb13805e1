//! Whether what a credential is for can be reached: by a connection from inside a sandbox that may reach
//! nothing else, as a script would make it. Nothing of the credential is sent.

use std::time::Duration;

use automa_sandbox::{
    Command, Destination, Egress, EgressEvent, Limits, Network, Output, Policy, Verdict,
};
use tokio::time::timeout;

use super::Kind;
use crate::{Result, execution::Runner, script::Language};

/// Time for a connection, with the time until a sandbox is free.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Connects, and waits for two seconds at most that somebody there says something: until then it is
/// known whether there is somebody.
const CONNECT: &str = r#"exec 3<>"/dev/tcp/$HOST/$PORT" && read -r -t 2 -N 1 <&3"#;

/// Whom a credential is for, as far as it says so.
pub(super) fn destination(kind: Kind, shown: &[(String, String)]) -> Option<(String, u16)> {
    let get = |name: &str| shown.iter().find(|(it, _)| it == name).map(|(_, value)| &**value);
    let host_and_port = |usual: Option<u16>| {
        let port = get("port").map_or(usual, |port| port.parse().ok())?;
        Some((get("host")?.trim_matches(['[', ']']).to_owned(), port))
    };
    match kind {
        Kind::ApiKey | Kind::UserPass => of_url(get("url")?),
        Kind::Oauth => of_url(get("token_url")?),
        Kind::SshKey => host_and_port(Some(22)),
        Kind::DbConnection => host_and_port(match get("engine")? {
            "postgresql" => Some(5432),
            "mysql" | "mariadb" => Some(3306),
            "sqlserver" => Some(1433),
            "mongodb" => Some(27017),
            "redis" => Some(6379),
            _ => None,
        }),
        Kind::Custom => None,
    }
}

/// Host and port of an address that begins with `http://` or `https://` (RFC 3986, 3.2).
fn of_url(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => usual,
        Some(port) => port.parse().ok()?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Tries to connect: whether that could be done, in a sentence that goes on after "it …, ".
///
/// # Errors
///
/// When no sandbox can be started.
pub(super) async fn reach(runner: &Runner, host: &str, port: u16) -> Result<(bool, String)> {
    let place =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let Ok(destination) = place.parse::<Destination>() else {
        return Ok((false, format!("but {place} names no host that could be reached")));
    };
    let connect = async {
        let child = runner.spawn(|| command(&destination, host, port)).await?;
        Ok::<_, crate::Error>(child.output().await)
    };
    Ok(match timeout(TIME_MAX, connect).await {
        Ok(output) => told(&place, &output?),
        Err(_) => (false, format!("but {place} was not reached within ten seconds")),
    })
}

fn command(destination: &Destination, host: &str, port: u16) -> Result<Command> {
    let limits = Limits { wall: TIME_MAX, ..Limits::default() };
    let network = Network::Allow(Egress::to([destination.clone()]));
    let command = Language::Bash.command(CONNECT, Language::Bash.file_name())?;
    let policy = Policy::script().limits(limits).network(network);
    Ok(command.env("HOST", host).env("PORT", port.to_string()).policy(policy))
}

/// What the sandbox has seen of it.
fn told(place: &str, output: &Output) -> (bool, String) {
    let events = &output.report.egress;
    if events.iter().any(|it: &EgressEvent| it.verdict == Verdict::Allowed && it.port.is_some()) {
        return (true, format!("and {place} can be reached"));
    }
    let refusal = events.iter().rev().find_map(|it| match it.verdict {
        Verdict::Refused(refusal) => Some(refusal.to_string()),
        Verdict::Allowed => None,
    });
    let why = refusal.unwrap_or_else(|| "no connection was made".to_owned());
    (false, format!("but {place} cannot be reached: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, shown: &[(&str, &str)]) -> String {
        let shown: Vec<_> =
            shown.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        destination(kind, &shown).map_or_else(String::new, |(host, port)| format!("{host} {port}"))
    }

    #[test]
    fn a_credential_says_whom_it_is_for() {
        for (url, expected) in [
            ("https://api.example.com", "api.example.com 443"),
            ("http://api.example.com/v1?x=1", "api.example.com 80"),
            ("https://ada:pw@api.example.com:8443/v1", "api.example.com 8443"),
            ("https://[2001:db8::1]:8443/", "2001:db8::1 8443"),
            ("https://[2001:db8::1]", "2001:db8::1 443"),
            ("https://x:99999", ""),
            ("https://:1", ""),
            ("nothing", ""),
        ] {
            assert_eq!(of(Kind::ApiKey, &[("url", url)]), expected, "{url}");
            assert_eq!(of(Kind::Oauth, &[("token_url", url)]), expected, "{url}");
        }
        assert_eq!(of(Kind::SshKey, &[("host", "git.example.com")]), "git.example.com 22");
        assert_eq!(of(Kind::SshKey, &[("host", "h"), ("port", "2222")]), "h 2222");
        let database = [("engine", "mariadb"), ("host", "[::1]")];
        assert_eq!(of(Kind::DbConnection, &database), "::1 3306");
        assert_eq!(of(Kind::Custom, &[("host", "h")]), "");
        assert_eq!(of(Kind::ApiKey, &[]), "");
    }
}
