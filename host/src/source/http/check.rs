//! What can be wrong with an HTTP source by itself.

use std::net::{IpAddr, SocketAddr};

use super::config::HttpSourceConfig;
use super::route::Route;
use crate::written::{Cursor, Finding, positive};

pub(super) fn check(http: &HttpSourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    match host(&http.listen) {
        None => {
            let told = at.key("listen").finding(format!("`{}` is no address", http.listen));
            found.push(told.help("a host and its port, like 127.0.0.1:8080 or 0.0.0.0:8080"));
        }
        Some(host) if !is_loopback(host) => strangers(http, at, found),
        Some(_) => {}
    }
    routes(http, at.key("routes"), found);
    if !["", "/"].contains(&&*http.base_path) && !is_path(&http.base_path) {
        let told = at.key("base_path").finding(format!("`{}` is no path", http.base_path));
        found.push(told.help("like /dev"));
    }
    if ![202, 422].contains(&http.reject) {
        let told = at.key("reject").finding(format!("`{}` is no such status", http.reject));
        found.push(told.help("202: the record is taken, as a dead letter; 422: with the reason"));
    }
    let timeout = http.timeout.0.as_millis() as u64;
    let figures =
        [("timeout", timeout), ("body", http.body.0), ("connections", http.connections.into())];
    positive(at, &figures, found);
}

/// Others than those on this machine can reach it.
fn strangers(http: &HttpSourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if http.token_file.is_none() {
        let told =
            at.key("listen").finding("anybody who can reach this address could send records");
        found.push(told.help(
            "name a file with a token by `token_file:`, or listen on 127.0.0.1 behind a proxy",
        ));
    } else if http.tls.is_none() {
        let told = at.key("token_file").finding("the token is sent as it is, for all to read");
        found.push(told.help("encrypt connections by `tls:`, here or in a proxy before").warning());
    }
}

fn routes(http: &HttpSourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if http.routes.is_empty() {
        found.push(at.finding("here should be a route").help("like `routes: [/pin]`"));
    }
    let mut known = Vec::new();
    for (number, written) in http.routes.iter().enumerate() {
        let at = at.item(number);
        let Some(route) = Route::parse(written) else {
            let told = at.finding(format!("`{written}` cannot be a route"));
            found.push(told.help("like /pin, /topics/0a1b.pin, /topics/*.pin or /streams/*"));
            continue;
        };
        if known.contains(&route) {
            found.push(at.finding(format!("route `{written}` is named twice")));
        }
        known.push(route);
    }
}

fn is_path(path: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
    let parts = path.trim_matches('/').split('/');
    path.starts_with('/')
        && parts.into_iter().all(|part| !part.is_empty() && part.bytes().all(is_legal))
}

/// None if it is no address.
fn host(listen: &str) -> Option<&str> {
    if let Ok(address) = listen.parse::<SocketAddr>() {
        let end = listen.len() - address.port().to_string().len() - 1;
        return Some(listen[..end].trim_matches(['[', ']']));
    }
    let (host, port) = listen.rsplit_once(':')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(is_name);
    (is_host && port.parse::<u16>().is_ok()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_needs_no_token() {
        for local in ["127.0.0.1:80", "[::1]:80", "localhost:8080", "127.8.8.8:0"] {
            assert!(host(local).is_some_and(is_loopback), "{local}");
        }
        for open in ["0.0.0.0:80", "[::]:80", "example.com:80", "10.0.0.1:80", "localhost.x:80"] {
            assert!(host(open).is_some_and(|host| !is_loopback(host)), "{open}");
        }
        for none in ["", ":80", "localhost", "127.0.0.1", "a b:80", "localhost:99999"] {
            assert_eq!(host(none), None, "{none}");
        }
    }
}
