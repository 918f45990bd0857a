//! A plugin that is handed no column and changes none.

use pinhost_plugin::{Batch, Finding, Plan, Plugin};

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Config {}

pub struct Idle;

impl Plugin for Idle {
    type Config = Config;

    fn configure(_: Config, _: &mut Plan) -> Result<Self, Finding> {
        Ok(Self)
    }

    fn clean(&self, _: &mut Batch<'_>) {}
}

pinhost_plugin::export!(Idle);
