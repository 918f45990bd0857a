//! All black-box tests, in one binary: what they are built from is linked once. A module is a story, and
//! `cargo test -p pinhost-tests --test stories swap::` runs one.

mod analytics;
mod archive;
mod dead_letters;
mod diff;
mod door;
mod front_door;
mod hostile;
mod kafka_connect;
mod kafka_kafka;
mod kafka_postgres;
mod kafka_source;
mod kill;
mod kinesis_sink;
mod kinesis_source;
mod lanes;
mod lineage;
mod listen;
mod monitoring;
mod msk;
mod pages;
mod pipe;
mod pipeline_files;
mod plugin_kit;
mod python;
mod replay;
mod s3;
mod sandbox;
mod secrets;
mod soak;
mod swap;
mod versions;
