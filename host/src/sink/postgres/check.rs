//! What can be wrong with a table on a server by what is written of it.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use super::{PostgresSinkConfig, TableName};
use crate::sink::table::{check_newest, check_table};
use crate::written::{Cursor, Finding, positive, secrets};

pub(super) fn check(postgres: &PostgresSinkConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    check_newest(postgres.newest.as_deref(), &postgres.key, at, found);
    check_table(TableName::read(&postgres.table).map(drop), at, found);
    check_url(postgres, at, found);
}

/// What is wrong with how the server is reached.
pub(super) fn check_url(postgres: &PostgresSinkConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if !postgres.has_scheme() {
        let url = postgres.url.reveal();
        if url.contains('@') && !url.contains("://") {
            // Where the password stands in it nobody knows.
            secrets::conceal(url);
        }
        let told = at.key("url").finding("here should be the URL of a database");
        found.push(told.help("like `postgres://me:${PASSWORD}@db.example.com:5432/pins`"));
    } else if let Some(name) = postgres.unknown_parameter() {
        let told = at.key("url").finding(format!("there is no parameter `{name}`"));
        let known = PostgresSinkConfig::PARAMETERS.join(", ");
        found.push(told.help(format!("there are {known}")));
    } else if let Err(fault) = PgConnectOptions::from_str(postgres.url.reveal()) {
        let cause = match fault {
            sqlx::Error::Configuration(cause) => cause.to_string(),
            other => other.to_string(),
        };
        found.push(at.key("url").finding(format!("this is no URL of a database: {cause}")));
    }
    positive(at, &[("pool", u64::from(postgres.pool))], found);
}
