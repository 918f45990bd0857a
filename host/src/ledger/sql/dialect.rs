//! The words in which databases differ.

/// What one of them says otherwise.
#[derive(Debug)]
pub(crate) struct SqlDialect {
    /// What stands before the names of the ledger's tables: a schema, or a part of the name.
    pub(crate) prefix: &'static str,
    /// The time, by the database's own clock.
    pub(crate) now: &'static str,
    pub(crate) uuid: &'static str,
    /// Behind a query: nobody else changes its row until the transaction ends.
    pub(crate) locked: &'static str,
    /// The same, without rows that somebody else has locked.
    pub(crate) unlocked: &'static str,
    /// Keeps others out who do the same for the pipeline `$1`, until the transaction ends; where that is not
    /// so anyway.
    pub(crate) alone: Option<&'static str>,
    /// A column with a time, as microseconds since 1970.
    pub(crate) micros: fn(&str) -> String,
    /// The time so many microseconds ago.
    pub(crate) ago: fn(&str) -> String,
    /// A query for the texts of a list in JSON.
    pub(crate) texts: fn(&str) -> String,
}

impl SqlDialect {
    /// A statement in its words: `pinhost.` stands before tables, `:now`, `:uuid`, `:locked` and `:unlocked`
    /// for the words above.
    pub(crate) fn say(&self, sql: &str) -> String {
        // `:unlocked` holds no `:locked`.
        let sql = sql.replace("pinhost.", self.prefix).replace(":now", self.now);
        let sql = sql.replace(":uuid", self.uuid).replace(":unlocked", self.unlocked);
        sql.replace(":locked", self.locked)
    }

    /// One of the ledger's tables, as people know it.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
