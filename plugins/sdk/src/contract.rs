//! The contract in `wit/` as Rust types, made by wit-bindgen. They are the same natively and in the
//! sandbox.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "pinhost_plugin::contract",
    });
}

pub use bindings::export_component;
pub use bindings::exports;
pub use bindings::exports::pinhost::plugin::cleaner::Guest;
pub use bindings::pinhost::plugin::log::{Level, write as log};
pub use bindings::pinhost::plugin::types::{
    Batch, Change, Cleaned, Column, ColumnData, ColumnType, Description, Finding, FloatLists,
    ListSlices, Patch, Plan, Rejection, Slices, TextLists, Texts, Values,
};
