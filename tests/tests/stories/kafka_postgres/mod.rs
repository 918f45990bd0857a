//! From Kafka to Postgres exactly once, whatever is done to the processes, the network and the servers.
//!
//! An oracle knows every record that was sent. After each story every record's row is there once, in the
//! order of its lane; of rows with a key the newest; and the lineage adds up.

mod groups;
mod kills;
mod lanes;
mod network;
mod refusals;
mod servers;
mod shipped;
mod story;
mod swaps;
mod zombies;
