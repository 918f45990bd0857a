//! Write cleaning plugins for pinhost.
//!
//! A plugin is a type that implements [`Plugin`]: its configuration is a struct, its work a function
//! for a value or a row. This crate does the rest of the contract in `wit/`.
//!
//! ```
//! use pinhost_plugin::{Batch, Edit, Edits, Finding, Plan, Plugin, Tally, Text};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     /// The column to clean.
//!     column: String,
//! }
//!
//! pub struct Trim {
//!     column: Edits<Text>,
//!     trimmed: Tally,
//! }
//!
//! impl Plugin for Trim {
//!     type Config = Config;
//!
//!     fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
//!         Ok(Self {
//!             column: plan.edit("/column", &config.column),
//!             trimmed: plan.tally("texts trimmed"),
//!         })
//!     }
//!
//!     fn clean(&self, batch: &mut Batch<'_>) {
//!         batch.edit(self.column, |text, row| {
//!             if text.trim().len() < text.len() {
//!                 row.tally(self.trimmed);
//!             }
//!             Edit::Slice(text.trim())
//!         });
//!     }
//! }
//!
//! pinhost_plugin::export!(Trim);
//!
//! # use pinhost_plugin::testing::{clean, json};
//! // In a test, natively:
//! let got = clean::<Trim>(json!({"column": "title"}), json!([{"title": " Oak "}, {"title": null}]));
//! assert_eq!(got.rows, json!([{"title": "Oak"}, {"title": null}]));
//! assert_eq!(got.tallies["texts trimmed"], 1);
//! ```
//!
//! - [`Plan`]: what is read, written and counted, agreed in `configure`; hands out typed handles.
//! - [`Batch`]: [`edit`](Batch::edit) texts in place, [`derive`](Batch::derive) columns from others,
//!   [`split`](Batch::split) texts into lists; or take a [`column`](Batch::column) as it lies in
//!   memory and [`set`](Batch::set) what becomes of it.
//! - [`Stop`]: takes a row out, as the error of any of these functions.
//! - [`kernels`]: fast inner loops. [`log`]: lines for the host's log.
//! - [`testing`]: JSON rows in, JSON rows out. [`native`]: a plugin linked without a sandbox.
//!
//! What becomes of a row has to depend on that row and the configuration alone.

pub mod contract;
pub mod kernels;
pub mod log;
pub mod native;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod view;

mod batch;
mod config;
mod derive;
mod edit;
#[doc(hidden)]
pub mod guest;
mod kind;
mod plan;
mod split;

pub use batch::{Batch, Outcome, Row, Stop};
pub use contract::{ColumnType, Finding};
pub use derive::Reads;
pub use edit::Edit;
pub use kind::{
    Boolean, Column, Float, FloatList, Integer, Kind, Put, Text, TextItems, TextList, Timestamp,
};
pub use plan::{Edits, Plan, Read, Tally, Write, kind_name, pointer};
pub use split::{List, Pieces};

/// A cleaning plugin. The value is a configured instance.
pub trait Plugin: Sized + 'static {
    /// What a user writes under `with:`. Its doc comments are the manual.
    type Config: serde::de::DeserializeOwned + schemars::JsonSchema;

    /// Announces what is read, written and counted, and checks all that can be checked before the
    /// first row. What `plan` finds wrong need not be returned; what it cannot know may be.
    fn configure(config: Self::Config, plan: &mut Plan) -> Result<Self, Finding>;

    /// Cleans a batch.
    fn clean(&self, batch: &mut Batch<'_>);
}

/// Makes a crate the component of this plugin; natively, nothing. Its name, version and summary are
/// those of the crate's `Cargo.toml`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = assert!(
            !env!("CARGO_PKG_DESCRIPTION").is_empty(),
            "Cargo.toml has no `description` to be the plugin's summary"
        );

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static INSTANCE: $crate::guest::Instance<$plugin> =
                    const { $crate::guest::Instance::new() };
            }

            impl $crate::contract::Guest for Component {
                fn describe() -> $crate::contract::Description {
                    $crate::guest::describe::<$plugin>(
                        env!("CARGO_PKG_NAME"),
                        env!("CARGO_PKG_VERSION"),
                        env!("CARGO_PKG_DESCRIPTION"),
                    )
                }

                fn configure(
                    config: ::std::string::String,
                    columns: ::std::vec::Vec<$crate::contract::Column>,
                ) -> ::std::result::Result<
                    $crate::contract::Plan,
                    ::std::vec::Vec<$crate::contract::Finding>,
                > {
                    INSTANCE.with(|instance| $crate::guest::configure(instance, &config, columns))
                }

                fn clean(
                    batch: $crate::contract::Batch,
                ) -> ::std::result::Result<$crate::contract::Cleaned, ::std::string::String>
                {
                    INSTANCE.with(|instance| $crate::guest::clean(instance, &batch))
                }
            }

    $crate::contract::export_component!(Component with_types_in $crate::contract);
        };
    };
}
